// Seconds that a round's two collectives take beside MPI's own, of buffers of several sizes: `mpirun -np 8
// collectives`.
// ../README.md says what the columns are.
#include "fedmpi/communicator.hpp"
#include "mpi_calls.hpp"
#include "node_group.hpp"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

namespace {

// Neither denormal as a float32 nor near the end of 64 bits as half of a word.
constexpr float value = 0x1p-124f;

struct Contestant {
  std::string name;
  std::function<void()> run;
  std::vector<double> seconds = {};

  double median() {
    std::ranges::nth_element(seconds, seconds.begin() + std::ssize(seconds) / 2);
    return seconds[seconds.size() / 2];
  }
};

// Until the last rank has done it.
double seconds_of(const std::function<void()>& work) {
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = MPI_Wtime();
  work();
  double seconds = MPI_Wtime() - start;
  MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  return seconds;
}

}  // namespace

int main(int argc, char** argv) {
  const int nodes = argc > 1 ? std::atoi(argv[1]) : 1, turns = argc > 2 ? std::atoi(argv[2]) : 5;
  std::vector<std::int64_t> megabytes;
  for (int i = 3; i < argc; ++i) megabytes.push_back(std::atoi(argv[i]));
  if (nodes < 1 || turns < 1 || megabytes.empty()) {
    fmt::print(stderr, "usage: mpirun -np RANKS collectives NODES TURNS MEGABYTES...\n");
    return 2;
  }
  fedmpi::MpiSession session(argc, argv);
  at::set_num_threads(1);
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  // Dealt out to the nodes in blocks, as launchers do.
  const int on_a_node = (size + nodes - 1) / nodes, own_node = rank / on_a_node;
  std::vector<int> ranks;
  for (int other = own_node * on_a_node; other < std::min(size, (own_node + 1) * on_a_node); ++other)
    ranks.push_back(other);
  MPI_Comm leaders = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, ranks.front() == rank ? 0 : MPI_UNDEFINED, 0, &leaders);
  fedmpi::NodeStore store;
  const fedmpi::NodeGroup group(MPI_COMM_WORLD, ranks, rank, (size + on_a_node - 1) / on_a_node,
                                nodes == 1 ? MPI_COMM_NULL : leaders, store);

  if (rank == 0)
    fmt::print("{:>7} {:>5} {:>5} {:>11} {:>10} {:>8} {:>11} {:>10} {:>10} {:>13} {:>8}\n", "MB", "ranks", "nodes",
               "broadcast s", "MPI_Bcast", "ours is", "aggregate s", "in pieces", "MPI_Reduce", "MPI_Allreduce",
               "ours is");
  for (const std::int64_t size_mb : megabytes) {
    const std::int64_t count = size_mb * 1'000'000 / 4;
    const at::Tensor words = fedmpi::zeros_on_node({count}, at::kLong);
    auto* floats = reinterpret_cast<float*>(words.data_ptr());
    const auto number = static_cast<int>(count);
    // MPI's have what they need in the same memory: a float32 is half a word.
    std::vector<Contestant> contestants = {
        {"broadcast", [&] { group.broadcast(words.narrow(0, 0, count / 2)); }},
        {"MPI_Bcast", [&] { MPI_Bcast(floats, number, MPI_FLOAT, 0, MPI_COMM_WORLD); }},
        {"aggregate", [&] { group.reduce_sum(words); }},
        {"in pieces", [&] { fedmpi::reduce_words(words.data_ptr<std::int64_t>(), count, MPI_COMM_WORLD); }},
        {"MPI_Reduce", [&] { MPI_Reduce(floats, floats + count, number, MPI_FLOAT, MPI_SUM, 0, MPI_COMM_WORLD); }},
        {"MPI_Allreduce", [&] { MPI_Allreduce(floats, floats + count, number, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); }}};
    for (int turn = -1; turn < turns; ++turn) {
      for (Contestant& contestant : contestants) {
        at::from_blob(floats, {2 * count}, at::kFloat).fill_(value);
        const double seconds = seconds_of(contestant.run);
        if (turn >= 0) contestant.seconds.push_back(seconds);  // the first touches the memory
      }
    }
    if (rank != 0) continue;
    std::vector<double> s;
    for (Contestant& contestant : contestants) s.push_back(contestant.median());
    fmt::print("{:7} {:5} {:5} {:11.4f} {:10.4f} {:7.1f}x {:11.4f} {:10.4f} {:10.4f} {:13.4f} {:7.1f}x\n", size_mb,
               size, nodes, s[0], s[1], s[1] / s[0], s[2], s[3], s[4], s[5], s[4] / s[2]);
    std::fflush(stdout);
  }
  if (leaders != MPI_COMM_NULL) MPI_Comm_free(&leaders);
  return 0;
}
