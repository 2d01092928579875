#include "fedmpi/communicator.hpp"

#include "communicator_handle.hpp"
#include "mpi_calls.hpp"
#include "mpi_session.hpp"
#include "node_memory.hpp"
#include "ulfm.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include <ATen/ATen.h>
#include <mpi.h>
#include <sched.h>
#include <unistd.h>

namespace fedmpi {

namespace {

constexpr int server = 0;
constexpr int gather_tag = 3;
constexpr std::int64_t most_doubles = std::int64_t{1} << 27;  // in a message: 1 GiB
constexpr double first_frozen_rank_seconds = 60.0;            // until the job says

// Of a buffer in node memory: below, the messages that go around a node take longer than all of it by MPI's own.
constexpr std::int64_t least_bytes_by_node = std::int64_t{1} << 20;

struct Place {
  cpu_set_t cores;
  int group, rank;
  int is_host;
  int pid;
  NodeAddress probe;
};

// Of the ranks on this node, this one among them, whatever their group.
std::vector<Place> places_on_node(MPI_Comm world, const Place& own) {
  MPI_Comm node = MPI_COMM_NULL;
  FEDMPI_MPI(MPI_Comm_split_type, world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  int size = 0;
  FEDMPI_MPI(MPI_Comm_size, node, &size);
  std::vector<Place> places(static_cast<std::size_t>(size));
  FEDMPI_MPI(MPI_Allgather, &own, sizeof own, MPI_BYTE, places.data(), sizeof own, MPI_BYTE, node);
  FEDMPI_MPI(MPI_Comm_free, &node);
  return places;
}

// Whether what the others of the group hold in node memory is what they wrote there: `pid` may be another process's
// here, and the system may not let this one read it.
bool reads_what_is_there(std::span<const Place> places, int group) {
  MappedMemory mapped;
  try {
    for (const Place& place : places) {
      if (place.group != group) continue;
      if (place.probe.pid == 0) return false;
      if (*static_cast<const std::int64_t*>(mapped.at(place.probe, 0)) != place.pid) return false;
    }
    return true;
  } catch (const Error&) {
    return false;
  } catch (const RankLost&) {
    return false;
  }
}

}  // namespace

Communicator::Communicator(MpiSession& session, int group) : session_{session}, handle_{std::make_unique<Handle>()} {
  FEDMPI_MPI(MPI_Comm_split, MPI_COMM_WORLD, group, 0, &handle_->comm);
  FEDMPI_MPI(MPI_Comm_set_errhandler, handle_->comm, MPI_ERRORS_RETURN);
  FEDMPI_MPI(MPI_Comm_rank, handle_->comm, &rank_);
  FEDMPI_MPI(MPI_Comm_size, handle_->comm, &size_);
  const at::Tensor probe = zeros_on_node({1}, at::kLong).fill_(::getpid());
  Place own{.cores = {},
            .group = group,
            .rank = rank_,
            .is_host = is_host(rank_) ? 1 : 0,
            .pid = ::getpid(),
            .probe = node_address(probe)};
  sched_getaffinity(0, sizeof own.cores, &own.cores);
  int sharing = 0;
  std::vector<int> pids;
  node_ = rank_;
  const std::vector<Place> places = places_on_node(MPI_COMM_WORLD, own);
  for (const Place& place : places) {
    if (place.group == group) node_ = std::min(node_, place.rank);
    if (place.is_host != 0 && CPU_EQUAL(&place.cores, &own.cores) != 0) ++sharing;
    if (place.group == group && place.rank == rank_) place_on_node_ = static_cast<int>(pids.size());
    pids.push_back(place.pid);
  }
  cores_per_host_ = std::max(1, CPU_COUNT(&own.cores) / std::max(1, sharing));
  session_.end_frozen(pids, first_frozen_rank_seconds);
  int shares = reads_what_is_there(places, group) ? 1 : 0;
  FEDMPI_MPI(MPI_Allreduce, MPI_IN_PLACE, &shares, 1, MPI_INT, MPI_MIN, handle_->comm);
  shares_memory_ = shares != 0;
  nodes_.resize(static_cast<std::size_t>(size_));
  FEDMPI_MPI(MPI_Allgather, &node_, 1, MPI_INT, nodes_.data(), 1, MPI_INT, handle_->comm);
}

int Communicator::num_nodes() const {
  return static_cast<int>(std::set(nodes_.begin(), nodes_.end()).size());
}

std::int64_t Communicator::copies_sent(std::int64_t bytes, int ranks, int nodes) {
  return (bytes < least_bytes_by_node ? ranks : nodes) - 1;
}

std::int64_t Communicator::mapped_bytes() const noexcept {
  return handle_->store.mapped.used_bytes();
}

bool Communicator::goes_by_node(const at::Tensor& buffer) const {
  return shares_memory_ && size_ > 1 && static_cast<std::int64_t>(buffer.nbytes()) >= least_bytes_by_node &&
         node_address(buffer).pid != 0;
}

NodeGroup Communicator::node_group() {
  const int nodes = num_nodes();
  std::vector<int> ranks;
  for (int rank = 0; rank < size_; ++rank)
    if (nodes_[static_cast<std::size_t>(rank)] == node_) ranks.push_back(rank);
  if (nodes > 1 && !std::exchange(handle_->has_leaders, true)) {
    FEDMPI_MPI(MPI_Comm_split, handle_->comm, ranks.front() == rank_ ? 0 : MPI_UNDEFINED, 0, &handle_->leaders);
    if (handle_->leaders != MPI_COMM_NULL) FEDMPI_MPI(MPI_Comm_set_errhandler, handle_->leaders, MPI_ERRORS_RETURN);
  }
  return {handle_->comm, std::move(ranks), rank_, nodes, handle_->leaders, handle_->store};
}

void Communicator::revoke() {
  ulfm::revoke(handle_->comm);
  if (handle_->leaders != MPI_COMM_NULL) ulfm::revoke(handle_->leaders);
}

int Communicator::meet(int bits) {
  return ulfm::agree(handle_->comm, bits);
}

bool Communicator::shrink() {
  note_lost_rank();
  leave_transport();
  MPI_Comm old = handle_->comm, smaller = ulfm::shrink(old);
  if (smaller == MPI_COMM_NULL) throw Error("a rank was lost, and MPI could not make a communicator of the others");
  handle_->comm = smaller;  // the old ones are not freed: that would need the dead
  handle_->leaders = MPI_COMM_NULL;
  handle_->has_leaders = false;
  FEDMPI_MPI(MPI_Comm_set_errhandler, handle_->comm, MPI_ERRORS_RETURN);
  FEDMPI_MPI(MPI_Comm_rank, handle_->comm, &rank_);
  FEDMPI_MPI(MPI_Comm_size, handle_->comm, &size_);
  stop_ = loss_noticed_ = false;
  MPI_Group before = MPI_GROUP_NULL, after = MPI_GROUP_NULL;
  FEDMPI_MPI(MPI_Comm_group, old, &before);
  FEDMPI_MPI(MPI_Comm_group, handle_->comm, &after);
  std::vector<int> ranks(static_cast<std::size_t>(size_)), old_ranks(ranks);
  std::iota(ranks.begin(), ranks.end(), 0);
  FEDMPI_MPI(MPI_Group_translate_ranks, after, size_, ranks.data(), before, old_ranks.data());
  FEDMPI_MPI(MPI_Group_free, &before);
  FEDMPI_MPI(MPI_Group_free, &after);
  for (int& rank : ranks) rank = nodes_[static_cast<std::size_t>(old_ranks[static_cast<std::size_t>(rank)])];
  nodes_ = std::move(ranks);
  return old_ranks.front() == server;
}

Communicator::~Communicator() {
  // Freeing is collective in some implementations: not while an exception of this rank alone is on its way out.
  if (std::uncaught_exceptions() != 0 || !is_finalised_in_the_end()) return;
  MPI_Comm_free(&handle_->comm);
  if (handle_->leaders != MPI_COMM_NULL) MPI_Comm_free(&handle_->leaders);
}

void Communicator::broadcast(at::Tensor buffer) {
  const auto bytes = static_cast<std::int64_t>(buffer.nbytes());
  const bool by_other = goes_by_transport(buffer);
  if (!by_other && !buffer.is_cpu()) {
    const at::Tensor here = buffer.cpu();
    broadcast(here);
    if (!is_server()) buffer.copy_(here);
    return;
  }
  const bool by_node = !by_other && goes_by_node(buffer);
  if (by_other)
    joined_transport().broadcast(buffer, watch());
  else if (by_node)
    node_group().broadcast(buffer);
  else
    broadcast_bytes(buffer.data_ptr(), bytes, handle_->comm);
  if (is_server()) bytes_sent_ += bytes * (by_node ? num_nodes() - 1 : size_ - 1);
}

void Communicator::broadcast(std::string& text) {
  std::int64_t length = static_cast<std::int64_t>(text.size());
  FEDMPI_MPI(MPI_Bcast, &length, 1, MPI_INT64_T, server, handle_->comm);
  text.resize(static_cast<std::size_t>(length));
  broadcast(at::from_blob(text.data(), {length}, at::kByte));
}

void Communicator::reduce_sum(at::Tensor buffer) {
  const bool by_other = goes_by_transport(buffer);
  if (!by_other && !buffer.is_cpu()) {
    const at::Tensor here = buffer.cpu();
    reduce_sum(here);
    if (is_server()) buffer.copy_(here);
    return;
  }
  const bool by_node = !by_other && goes_by_node(buffer);
  if (by_other)
    joined_transport().reduce_sum(buffer, watch());
  else if (by_node)
    node_group().reduce_sum(buffer);
  else
    reduce_words(buffer.data_ptr<std::int64_t>(), buffer.numel(), handle_->comm);
  const bool leads = std::ranges::find(nodes_, node_) - nodes_.begin() == rank_;
  if (!is_server() && (leads || !by_node)) bytes_sent_ += static_cast<std::int64_t>(buffer.nbytes());
}

void Communicator::exchange(const at::Tensor& send, std::span<const int> send_counts, at::Tensor receive,
                            std::span<const int> receive_counts) {
  const auto begins = [](std::span<const int> counts) {
    std::vector<int> begin(counts.size());
    std::exclusive_scan(counts.begin(), counts.end(), begin.begin(), 0);
    return begin;
  };
  const std::vector<int> send_begins = begins(send_counts), receive_begins = begins(receive_counts);
  // As in all_gather: what a dead rank did not send must not pass for data. Marks far closer than the pieces in which
  // MPI moves a message tell that, at a fraction of the cost of filling all of it.
  std::vector<at::Tensor> marks;
  for (std::size_t rank = 0; rank < receive_counts.size(); ++rank) {
    if (receive_counts[rank] == 0) continue;
    const at::Tensor message = receive.view(-1).narrow(0, receive_begins[rank], receive_counts[rank]);
    marks.push_back(message.slice(0, 0, std::nullopt, 256));
    marks.push_back(message.narrow(0, receive_counts[rank] - 1, 1));
  }
  for (const at::Tensor& mark : marks) mark.fill_(std::numeric_limits<float>::quiet_NaN());
  FEDMPI_MPI(MPI_Alltoallv, send.const_data_ptr(), send_counts.data(), send_begins.data(), MPI_FLOAT,
             receive.data_ptr(), receive_counts.data(), receive_begins.data(), MPI_FLOAT, handle_->comm);
  for (const at::Tensor& mark : marks)
    if (mark.isnan().any().item<bool>()) throw RankLost{};
  bytes_sent_ += static_cast<std::int64_t>(send.nbytes()) -
                 send_counts[static_cast<std::size_t>(rank_)] * static_cast<std::int64_t>(sizeof(float));
}

void Communicator::gather(const at::Tensor& own, std::span<at::Tensor> parts) {
  if (!is_server()) {
    FEDMPI_MPI(MPI_Send, own.const_data_ptr(), static_cast<int>(own.numel()), MPI_FLOAT, server, gather_tag,
               handle_->comm);
    bytes_sent_ += static_cast<std::int64_t>(own.nbytes());
    return;
  }
  parts[0].copy_(own.view(parts[0].sizes()));
  for (int rank = 1; rank < size_; ++rank) {
    at::Tensor& part = parts[static_cast<std::size_t>(rank)];
    FEDMPI_MPI(MPI_Recv, part.data_ptr(), static_cast<int>(part.numel()), MPI_FLOAT, rank, gather_tag, handle_->comm,
               MPI_STATUS_IGNORE);
  }
}

void Communicator::add_in_order(const at::Tensor& own, at::Tensor sum) {
  if (is_server()) sum.add_(own);
  const std::int64_t size = own.numel();
  const at::Tensor other = at::empty({is_server() ? std::min(size, most_doubles) : 0}, at::kDouble);
  for (std::int64_t begin = 0; begin < size; begin += most_doubles) {
    const std::int64_t length = std::min(most_doubles, size - begin);
    const int count = static_cast<int>(length);
    if (!is_server())
      FEDMPI_MPI(MPI_Send, own.const_data_ptr<double>() + begin, count, MPI_DOUBLE, server, gather_tag, handle_->comm);
    for (int rank = 1; is_server() && rank < size_; ++rank) {
      FEDMPI_MPI(MPI_Recv, other.data_ptr(), count, MPI_DOUBLE, rank, gather_tag, handle_->comm, MPI_STATUS_IGNORE);
      sum.narrow(0, begin, length).add_(other.narrow(0, 0, length));
    }
  }
  if (!is_server()) bytes_sent_ += static_cast<std::int64_t>(own.nbytes());
}

std::vector<std::string> Communicator::all_gather(const std::string& bytes) {
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    throw Error("a record of more than 2 GiB cannot be gathered");
  const int length = static_cast<int>(bytes.size());
  std::vector<int> lengths(static_cast<std::size_t>(size_), -1), begins(lengths);
  FEDMPI_MPI(MPI_Allgather, &length, 1, MPI_INT, lengths.data(), 1, MPI_INT, handle_->comm);
  if (std::ranges::count(lengths, -1) != 0) throw RankLost{};  // see below
  std::int64_t total = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    begins[i] = static_cast<int>(total);
    total += lengths[i];
  }
  if (total > std::numeric_limits<int>::max()) throw Error("records of more than 2 GiB cannot be gathered");
  std::string all(static_cast<std::size_t>(total), '\0');
  // Not MPI_Allgatherv: Open MPI's may succeed without the data when a rank dies in it.
  FEDMPI_MPI(MPI_Gatherv, bytes.data(), length, MPI_BYTE, all.data(), lengths.data(), begins.data(), MPI_BYTE, server,
             handle_->comm);
  if (!is_server()) bytes_sent_ += length;
  broadcast(at::from_blob(all.data(), {total}, at::kByte));
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < lengths.size(); ++i)
    parts.push_back(all.substr(static_cast<std::size_t>(begins[i]), static_cast<std::size_t>(lengths[i])));
  return parts;
}

AgreedError::AgreedError(const std::string& message, bool user) : Error(message), is_user_error{user} {}
AgreedError::~AgreedError() = default;

void agree(Communicator& communicator, const std::function<void()>& work) {
  // First byte: '0' fine, '1' a user's error, '2' another; the rest is the message.
  std::string vote = "0";
  try {
    work();
  } catch (const UserError& error) {
    vote = "1" + one_line(error);
  } catch (const std::exception& error) {
    vote = "2" + one_line(error);
  }
  for (const std::string& other : communicator.all_gather(vote))
    if (other[0] != '0') throw AgreedError(other.substr(1), other[0] == '1');
}

}  // namespace fedmpi
