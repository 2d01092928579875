#include "node_group.hpp"

#include "mpi_tests.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fedmpi {
namespace {

// The test's ranks as if they were on several nodes: node_of[rank].
class PretendedNodes {
 public:
  explicit PretendedNodes(const std::vector<int>& node_of) {
    const int rank = test_communicator().rank(), own = node_of[static_cast<std::size_t>(rank)];
    std::vector<int> ranks;
    int nodes = 0;
    for (std::size_t other = 0; other < node_of.size(); ++other) {
      nodes = std::max(nodes, node_of[other] + 1);
      if (node_of[other] == own) ranks.push_back(static_cast<int>(other));
    }
    MPI_Comm_split(MPI_COMM_WORLD, ranks.front() == rank ? 0 : MPI_UNDEFINED, 0, &leaders_);
    group_ =
        std::make_unique<NodeGroup>(MPI_COMM_WORLD, ranks, rank, nodes, nodes == 1 ? MPI_COMM_NULL : leaders_, store_);
  }
  ~PretendedNodes() {
    if (leaders_ != MPI_COMM_NULL) MPI_Comm_free(&leaders_);
  }
  PretendedNodes(const PretendedNodes&) = delete;
  PretendedNodes& operator=(const PretendedNodes&) = delete;

  const NodeGroup& group() const { return *group_; }

 private:
  MPI_Comm leaders_ = MPI_COMM_NULL;
  NodeStore store_;
  std::unique_ptr<NodeGroup> group_;
};

// All on one node, each on its own, by turns, in blocks of two, and all but the last on one.
std::vector<std::vector<int>> node_maps() {
  const int size = test_communicator().size();
  std::vector<std::vector<int>> maps(5);
  for (int rank = 0; rank < size; ++rank) {
    maps[0].push_back(0);
    maps[1].push_back(rank);
    maps[2].push_back(rank % std::min(2, size));
    maps[3].push_back(rank / 2);
    maps[4].push_back(rank == size - 1 && size > 1 ? 1 : 0);
  }
  return maps;
}

// From less than a page to several pieces between nodes, and none of them round.
constexpr std::int64_t sizes[] = {1, 511, 300'001, 3'500'003};

TEST(NodeGroup, BroadcastGivesEveryoneTheServersBuffer) {
  const bool is_server = test_communicator().is_server();
  for (const std::vector<int>& map : node_maps()) {
    const PretendedNodes nodes(map);
    for (const std::int64_t size : sizes) {
      const at::Tensor buffer = zeros_on_node({size}, at::kFloat);
      for (const float first : {1.0f, -5.0f}) {  // into the same memory
        const at::Tensor expected = at::arange(size, at::kFloat) + first;
        if (is_server) buffer.copy_(expected);
        nodes.group().broadcast(buffer);
        EXPECT_TRUE(at::equal(buffer, expected)) << size;
        test_communicator().all_gather(std::string());  // nobody writes what another still compares
      }
    }
  }
}

TEST(NodeGroup, ReduceSumIsExactAndLeavesTheOthersAsTheyWere) {
  const Communicator& world = test_communicator();
  const std::int64_t ranks = world.size(), large = std::int64_t{1} << 58;
  for (const std::vector<int>& map : node_maps()) {
    const PretendedNodes nodes(map);
    for (const std::int64_t size : sizes) {
      const at::Tensor common = at::arange(size, at::kLong) + large, own = common + world.rank();
      const at::Tensor buffer = zeros_on_node({size}, at::kLong);
      for (int turn = 0; turn < 2; ++turn) {
        buffer.copy_(own);
        nodes.group().reduce_sum(buffer);
        EXPECT_TRUE(at::equal(buffer, world.is_server() ? ranks * common + ranks * (ranks - 1) / 2 : own)) << size;
      }
    }
  }
}

TEST(NodeMemory, IsZeroAndKeepsShapeAndBeginning) {
  const at::Tensor matrix = zeros_on_node({3, 5}, at::kFloat);
  EXPECT_TRUE(at::equal(matrix, at::zeros({3, 5})));
  EXPECT_EQ(node_address(matrix[1].narrow(0, 2, 3)).offset, 7 * 4);
  EXPECT_EQ(zeros_on_node({0, 5}, at::kFloat).sizes(), at::IntArrayRef({0, 5}));
  EXPECT_EQ(node_address(at::zeros({3})).pid, 0);
}

TEST(NodeMemory, IsOrdinaryUnderALimitOnFiles) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{1 << 20, 1 << 20};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const at::Tensor words = zeros_on_node({3}, at::kLong);
    ::_exit(node_address(words).pid == 0 && at::equal(words, at::zeros({3}, at::kLong)) ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(NodeMemory, IsMappedFromWhereAViewBegins) {
  const at::Tensor words = zeros_on_node({5000}, at::kLong);
  words.copy_(at::arange(5000, at::kLong));
  MappedMemory mapped;
  auto* values = static_cast<std::int64_t*>(mapped.at(node_address(words.narrow(0, 700, 4000)), 8));
  EXPECT_EQ(values[0], 700);
  values[3999] = -1;
  EXPECT_EQ(words[4699].item<std::int64_t>(), -1);
  EXPECT_EQ(mapped.at(node_address(words), 40), values - 700);
  EXPECT_EQ(mapped.used_bytes(), 40);
}

// A descriptor is given again to the next memory.
TEST(NodeMemory, IsMappedAnewWhenAnotherHasItsDescriptor) {
  MappedMemory mapped;
  for (const std::int64_t value : {5, 6}) {
    const at::Tensor words = zeros_on_node({1000 * value}, at::kLong).fill_(value);
    EXPECT_EQ(static_cast<std::int64_t*>(mapped.at(node_address(words), 8))[1000 * value - 1], value);
  }
}

// In a container of its own another process may have that number.
TEST(NodeMemory, OfAnotherFileIsAnError) {
  const at::Tensor words = zeros_on_node({5}, at::kLong);
  NodeAddress address = node_address(words);
  address.inode += 1;
  MappedMemory mapped;
  EXPECT_THROW(mapped.at(address, 8), Error);
  EXPECT_THROW(mapped.at(address, 8), Error);
}

TEST(NodeMemory, OfAProcessThatHasEndedIsALostRank) {
  MappedMemory mapped;
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  EXPECT_THROW(mapped.at({.pid = child, .descriptor = 0, .inode = 1}, 1), RankLost);
}

}  // namespace
}  // namespace fedmpi
