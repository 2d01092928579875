#include "sent_bytes.hpp"

#include "evaluation.hpp"
#include "fedmpi/communicator.hpp"
#include "fedmpi/strategy.hpp"
#include "schedule.hpp"
#include "slices.hpp"

#include <vector>

namespace fedmpi {

namespace {

constexpr std::int64_t state_bytes = 24;  // of each rank at a round's end
constexpr std::int64_t element_bytes = sizeof(float);

// Of Communicator::all_gather: `total` bytes, of which the server's part is `own`.
std::int64_t all_gathered(std::int64_t total, std::int64_t own, int ranks) {
  return total - own + total * (ranks - 1);
}

// The same, of as many bytes from every rank.
std::int64_t all_gathered_from_each(std::int64_t bytes, int ranks) {
  return all_gathered(bytes * ranks, bytes, ranks);
}

std::int64_t vote_bytes(int ranks) {
  return all_gathered_from_each(1, ranks);
}

// Of all turns of an exchange of slices: the updates that other ranks have.
std::int64_t exchanged(const Slices& slices, int ranks) {
  std::int64_t elements = 0;
  for (std::int64_t turn = 0; turn < slices.num_turns(); ++turn)
    for (int rank = 0; rank < ranks; ++rank)
      elements += slices.share(turn, rank).length * (slices.num_updates() - slices.num_updates(rank));
  return elements * element_bytes;
}

std::int64_t bytes_of_slices(const RoundWork& round, const JobWork& work, std::int64_t num_chosen, int ranks) {
  const std::int64_t n = std::ssize(round.client_costs), size = work.update_bytes / element_bytes,
                     num_vectors = work.vector_bytes / work.update_bytes;
  std::vector<std::vector<std::int64_t>> clients(1);  // the server has none
  for (const auto& own : longest_first(round.client_costs, static_cast<std::size_t>(ranks - 1)))
    clients.emplace_back(own.begin(), own.end());
  const std::int64_t client_bytes = sizeof(std::int64_t);
  std::int64_t bytes = all_gathered(n * client_bytes, 0, ranks) + vote_bytes(ranks);
  if (num_chosen > 0) {
    const Slices all(clients, size);
    const std::int64_t rows = n + num_vectors, product_bytes = rows * rows * static_cast<std::int64_t>(sizeof(double));
    bytes += exchanged(all, ranks) + (all.num_turns() + 1) * (ranks - 1) * product_bytes;  // in turns, then their sum
    bytes += all_gathered_from_each(num_chosen * client_bytes, ranks) + 2 * vote_bytes(ranks);
    // Whichever they are: so many, evenly spread.
    for (auto& own : clients)
      std::erase_if(own, [&](std::int64_t i) { return (i + 1) * num_chosen / n == i * num_chosen / n; });
  }
  const Slices slices(clients, size);
  std::int64_t elsewhere = 0;
  for (std::int64_t turn = 0; turn < slices.num_turns(); ++turn)
    for (int rank = 1; rank < ranks; ++rank) elsewhere += slices.share(turn, rank).length;
  return bytes + exchanged(slices, ranks) + elsewhere * (1 + num_vectors) * element_bytes;
}

std::int64_t bytes_of_evaluation(const RoundWork& round, const JobWork& work, int ranks) {
  if (round.block_costs.empty()) return 0;
  const std::int64_t result_bytes = sizeof(BlockResult);
  const auto own = longest_first(round.block_costs, static_cast<std::size_t>(ranks)).front();
  return vote_bytes(ranks) +
         all_gathered(result_bytes * std::ssize(round.block_costs), result_bytes * std::ssize(own), ranks) +
         (ranks - 1) * work.label_count_bytes;
}

}  // namespace

double sent_bytes(const RoundWork& round, const JobWork& work, std::int64_t num_chosen, double evaluations,
                  const Cluster& cluster) {
  const int ranks = cluster.ranks();
  if (ranks == 1) return 0.0;
  const std::int64_t record_bytes = std::int64_t{sizeof(FitRecord)} + work.kept_bytes;
  std::int64_t bytes = all_gathered(std::ssize(round.client_costs) * record_bytes, 0, ranks) +
                       all_gathered_from_each(state_bytes, ranks) + 2 * vote_bytes(ranks);
  for (const std::int64_t one : {work.shared_bytes - work.vector_bytes, work.vector_bytes, work.sum_bytes})
    bytes += one * Communicator::copies_sent(one, ranks, cluster.shares_memory ? cluster.nodes() : ranks);
  if (work.update_bytes > 0) bytes += bytes_of_slices(round, work, num_chosen, ranks);
  return static_cast<double>(bytes) + evaluations * static_cast<double>(bytes_of_evaluation(round, work, ranks));
}

}  // namespace fedmpi
