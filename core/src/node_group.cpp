#include "node_group.hpp"

#include "fedmpi/error.hpp"
#include "mpi_calls.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <ATen/Parallel.h>

namespace fedmpi {

namespace {

constexpr int address_tag = 4, word_tag = 5;
constexpr std::int64_t word_bytes = sizeof(std::int64_t);
// Between nodes: of 8 MiB.
constexpr std::int64_t piece_bytes = std::int64_t{1} << 23;
constexpr std::int64_t page_words = 512;  // where shares begin
constexpr std::int64_t line_words = 8;    // of a line of the cache
constexpr std::int64_t grain = page_words * 32;

// sum[i] = (0 or sum[i]) + all sources[skipped + i], for i of [begin, end). Line by line of all: what memory gives is
// the limit, and one source after another would read and write the sum as often.
void add_up(std::int64_t* sum, bool sum_counts, std::span<const std::int64_t* const> sources, std::int64_t skipped,
            std::int64_t begin, std::int64_t end) {
  at::parallel_for(begin, end, grain, [&](std::int64_t first, std::int64_t last) {
    std::int64_t i = first;
    for (; i + line_words <= last; i += line_words) {
      std::array<std::int64_t, line_words> line{};
      if (sum_counts) std::copy_n(sum + i, line_words, line.data());
      for (const std::int64_t* source : sources)
        for (std::int64_t j = 0; j < line_words; ++j) line[static_cast<std::size_t>(j)] += source[skipped + i + j];
      std::ranges::copy(line, sum + i);
    }
    for (; i < last; ++i) {
      if (!sum_counts) sum[i] = 0;
      for (const std::int64_t* source : sources) sum[i] += source[skipped + i];
    }
  });
}

}  // namespace

NodeGroup::NodeGroup(MPI_Comm all, std::vector<int> ranks, int rank, int num_nodes, MPI_Comm leaders, NodeStore& store)
    : all_{all}, leaders_{leaders}, ranks_{std::move(ranks)}, rank_{rank}, num_nodes_{num_nodes}, store_{store} {}

std::int64_t NodeGroup::place() const {
  return std::ranges::find(ranks_, rank_) - ranks_.begin();
}

void NodeGroup::tell(int rank) const {
  const char word = 0;
  FEDMPI_MPI(MPI_Send, &word, 1, MPI_BYTE, rank, word_tag, all_);
}

void NodeGroup::hear_from(int rank) const {
  char word = 0;
  FEDMPI_MPI(MPI_Recv, &word, 1, MPI_BYTE, rank, word_tag, all_, MPI_STATUS_IGNORE);
}

// Whole where nothing goes to other nodes.
std::int64_t NodeGroup::piece_of(const at::Tensor& buffer) const {
  const auto bytes = static_cast<std::int64_t>(buffer.nbytes());
  return num_nodes_ == 1 ? bytes : std::min(bytes, piece_bytes);
}

// The leader's target, then every rank's own.
std::vector<NodeAddress> NodeGroup::addresses_of_all(const NodeAddress& own, const NodeAddress& target) const {
  std::vector<NodeAddress> addresses(1 + ranks_.size());
  const int bytes = static_cast<int>(addresses.size() * sizeof(NodeAddress));
  if (!leads()) {
    FEDMPI_MPI(MPI_Send, &own, sizeof own, MPI_BYTE, ranks_.front(), address_tag, all_);
    FEDMPI_MPI(MPI_Recv, addresses.data(), bytes, MPI_BYTE, ranks_.front(), address_tag, all_, MPI_STATUS_IGNORE);
    return addresses;
  }
  addresses[0] = target;
  addresses[1] = own;
  for (std::size_t i = 1; i < ranks_.size(); ++i)
    FEDMPI_MPI(MPI_Recv, &addresses[1 + i], sizeof own, MPI_BYTE, ranks_[i], address_tag, all_, MPI_STATUS_IGNORE);
  for (const int rank : members()) FEDMPI_MPI(MPI_Send, addresses.data(), bytes, MPI_BYTE, rank, address_tag, all_);
  return addresses;
}

// Of `count` words, the part that this rank adds up.
NodeGroup::Share NodeGroup::own_share(std::int64_t count) const {
  const auto border = [&](std::int64_t i) {
    return std::min(count, (count * i / std::ssize(ranks_) + page_words - 1) / page_words * page_words);
  };
  return {border(place()), border(place() + 1)};
}

void NodeGroup::broadcast(const at::Tensor& buffer) const {
  const auto total = static_cast<std::int64_t>(buffer.nbytes());
  const std::int64_t piece = piece_of(buffer);
  auto* bytes = static_cast<char*>(buffer.data_ptr());
  if (leads()) {
    const NodeAddress own = node_address(buffer);
    for (const int rank : members()) FEDMPI_MPI(MPI_Send, &own, sizeof own, MPI_BYTE, rank, address_tag, all_);
    for (std::int64_t begin = 0; begin < total; begin += piece) {
      if (num_nodes_ > 1) broadcast_bytes(bytes + begin, std::min(piece, total - begin), leaders_);
      for (const int rank : members()) tell(rank);
    }
    for (const int rank : members()) hear_from(rank);
    return;
  }
  const int leader = ranks_.front();
  NodeAddress address;
  FEDMPI_MPI(MPI_Recv, &address, sizeof address, MPI_BYTE, leader, address_tag, all_, MPI_STATUS_IGNORE);
  const auto* source = static_cast<const char*>(store_.mapped.at(address, total));
  for (std::int64_t begin = 0; begin < total; begin += piece) {
    hear_from(leader);
    std::memcpy(bytes + begin, source + begin, static_cast<std::size_t>(std::min(piece, total - begin)));
  }
  tell(leader);
}

void NodeGroup::reduce_sum(const at::Tensor& buffer) const {
  const std::int64_t total = buffer.numel(), piece = piece_of(buffer) / word_bytes;
  const std::int64_t num_pieces = (total + piece - 1) / piece;
  // What a host has must outlive the loss of another rank: only the server's is added to.
  at::Tensor target = buffer;
  if (leads() && !has_server()) {
    if (!store_.staging.defined()) store_.staging = zeros_on_node({2 * piece_bytes / word_bytes}, at::kLong);
    target = store_.staging;
  }
  const auto addresses = addresses_of_all(node_address(buffer), node_address(target));
  const auto words_at = [&](std::size_t i, const at::Tensor& own, std::int64_t words) {
    const bool is_own = addresses[i].pid == addresses[1 + static_cast<std::size_t>(place())].pid;
    return is_own ? own.data_ptr<std::int64_t>()
                  : static_cast<std::int64_t*>(store_.mapped.at(addresses[i], words * word_bytes));
  };
  const Share whole = own_share(total);
  std::int64_t* const sum = words_at(0, target, std::min(whole.end - whole.begin, 2 * piece));
  std::vector<const std::int64_t*> sources;  // the server's own is the target
  for (std::size_t i = has_server() ? 2 : 1; i < addresses.size(); ++i)
    sources.push_back(words_at(i, buffer, whole.end - whole.begin));

  const auto sum_of = [&](std::int64_t i) { return sum + (has_server() ? i * piece : i % 2 * piece); };
  const auto add_share = [&](std::int64_t i) {
    const Share share = own_share(std::min(piece, total - i * piece));
    add_up(sum_of(i), has_server(), sources, i * piece, share.begin, share.end);
  };
  if (!leads()) {
    const int leader = ranks_.front();
    for (std::int64_t i = 0; i < num_pieces; ++i) {
      if (i >= 2) hear_from(leader);  // the staging is free again
      add_share(i);
      tell(leader);
    }
    // Nobody needs this rank's buffer any more.
    for (std::int64_t i = 0; i < std::min<std::int64_t>(num_pieces, 2); ++i) hear_from(leader);
    return;
  }
  for (std::int64_t i = 0; i < num_pieces; ++i) {
    add_share(i);
    for (const int rank : members()) hear_from(rank);
    if (num_nodes_ > 1) reduce_words(sum_of(i), std::min(piece, total - i * piece), leaders_);
    for (const int rank : members()) tell(rank);
  }
}

}  // namespace fedmpi
