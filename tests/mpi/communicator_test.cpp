#include "mpi_tests.hpp"
#include "node_memory.hpp"

#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

TEST(Communicator, BroadcastGivesEveryoneTheServersTensor) {
  Communicator& world = test_communicator();
  at::Tensor buffer = world.is_server() ? at::arange(100'003, at::kFloat) : at::zeros({100'003});
  world.broadcast(buffer);
  EXPECT_TRUE(at::equal(buffer, at::arange(100'003, at::kFloat)));
}

TEST(Communicator, BroadcastGivesEveryoneTheServersText) {
  Communicator& world = test_communicator();
  std::string text = world.is_server() ? std::string("a\0b", 3) + std::string(5000, 'x') : "something else";
  world.broadcast(text);
  EXPECT_EQ(text, std::string("a\0b", 3) + std::string(5000, 'x'));
  text = world.is_server() ? "" : "not empty";
  world.broadcast(text);
  EXPECT_TRUE(text.empty());
}

TEST(Communicator, ReduceSumIsExactOverManyPieces) {
  Communicator& world = test_communicator();
  constexpr std::int64_t size = (std::int64_t{1} << 18) + 5, large = std::int64_t{1} << 58;
  at::Tensor buffer = at::arange(size, at::kLong) + large + world.rank();
  world.reduce_sum(buffer);
  if (world.is_server()) {
    const std::int64_t ranks = world.size();
    EXPECT_TRUE(at::equal(buffer, ranks * (at::arange(size, at::kLong) + large) + ranks * (ranks - 1) / 2));
  }
}

// Between nodes these would be sent: the tests' ranks are on one.
TEST(Communicator, WhatLiesInNodeMemoryIsNotSentWithinTheNode) {
  Communicator& world = test_communicator();
  EXPECT_EQ(world.num_nodes(), 1);
  ASSERT_TRUE(world.shares_memory()) << "on every rank alike";
  const std::int64_t before = world.bytes_sent();
  const at::Tensor parameters = zeros_on_node({(1 << 20) + 3}, at::kFloat);
  if (world.is_server()) parameters.copy_(at::arange(parameters.numel()));
  world.broadcast(parameters.narrow(0, 1, 1 << 20));
  EXPECT_TRUE(at::equal(parameters.narrow(0, 1, 1 << 20), at::arange(1, (1 << 20) + 1, at::kFloat)));
  EXPECT_TRUE(world.is_server() || parameters[-1].item<float>() == 0.0f);

  const at::Tensor sum = zeros_on_node({(1 << 20) + 7}, at::kLong).fill_(world.rank() + 1);
  world.reduce_sum(sum);
  const std::int64_t ranks = world.size(), own = world.rank() + 1;
  EXPECT_TRUE(at::equal(sum, at::full_like(sum, world.is_server() ? ranks * (ranks + 1) / 2 : own)));
  EXPECT_EQ(world.bytes_sent(), before);
}

TEST(Communicator, AllGatherKeepsRankOrderAndLengths) {
  Communicator& world = test_communicator();
  const auto parts = world.all_gather(std::string(static_cast<std::size_t>(world.rank()), 'a'));
  EXPECT_EQ(parts.size(), static_cast<std::size_t>(world.size()));
  for (std::size_t rank = 0; rank < parts.size(); ++rank) EXPECT_EQ(parts[rank], std::string(rank, 'a'));
  struct Pair {
    int rank;
    double value;
  };
  const std::vector<Pair> mine(static_cast<std::size_t>(world.rank() % 2 + 1), {world.rank(), 0.5});
  const auto all = world.all_gather(std::span<const Pair>(mine));
  EXPECT_EQ(all.size(), static_cast<std::size_t>(world.size() + world.size() / 2));
  EXPECT_EQ(all.back().rank, world.size() - 1);
}

// Rank by rank 2^53, 1, 1, ...: what is added to 2^53 alone is lost each time, added up before it would show.
TEST(Communicator, AddsInRankOrder) {
  Communicator& world = test_communicator();
  const double large = 9007199254740992.0;
  const at::Tensor own = at::tensor({world.is_server() ? large : 1.0, static_cast<double>(world.rank())}, at::kDouble);
  const at::Tensor sum = at::zeros({2}, at::kDouble);
  const std::int64_t before = world.bytes_sent(), ranks = world.size();
  world.add_in_order(own, sum);
  const at::Tensor expected = at::tensor({large, static_cast<double>(ranks * (ranks - 1) / 2)}, at::kDouble);
  EXPECT_TRUE(at::equal(sum, world.is_server() ? expected : at::zeros({2}, at::kDouble)));
  EXPECT_EQ(world.bytes_sent() - before, world.is_server() ? 0 : 16);
}

TEST(Communicator, ReportsReachTheServerAllOfThem) {
  Communicator& world = test_communicator();
  for (int turn = 0; turn < 3; ++turn) {
    if (!world.is_server())
      for (int i = 0; i < 100; ++i) world.report(world.rank());
    std::int64_t total = 0;
    EXPECT_FALSE(world.await_reports([&](std::int64_t amount) { total += amount; }, [] { return false; }));
    world.all_gather(std::string());  // reports of the next turn must not overtake
    EXPECT_EQ(total, world.is_server() ? 100 * world.size() * (world.size() - 1) / 2 : 0);
  }
}

// The hosts work until somebody asks them to stop: a host, or the server.
TEST(Communicator, OneRanksWishToStopReachesAll) {
  Communicator& world = test_communicator();
  for (int asking = 0; asking < world.size(); ++asking) {
    if (world.rank() == asking && world.is_host(asking)) world.request_stop();
    while (world.is_host(world.rank()) && (world.size() > 1 || asking != 0) && !world.stop_requested()) world.report(1);
    EXPECT_TRUE(world.await_reports([](std::int64_t) {}, [&] { return world.rank() == asking; }));
    EXPECT_FALSE(world.await_reports([](std::int64_t) {}, [] { return false; }));
  }
}

TEST(Agree, OneRanksErrorIsEveryonesAndKeepsItsKind) {
  Communicator& world = test_communicator();
  const int last = world.size() - 1;
  agree(world, [] {});
  for (const bool user : {true, false}) {
    try {
      agree(world, [&] {
        if (world.rank() != last) return;
        if (user) throw UserError("rank last: wrong key");
        throw std::runtime_error("rank last: broken");
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.is_user_error, user);
      EXPECT_STREQ(error.what(), user ? "rank last: wrong key" : "rank last: broken");
    }
  }
}

TEST(Communicator, CountsWhatItSends) {
  Communicator& world = test_communicator();
  const std::int64_t before = world.bytes_sent();
  world.broadcast(at::zeros({1000}, at::kFloat));
  EXPECT_EQ(world.bytes_sent() - before, world.is_server() ? 4000 * (world.size() - 1) : 0);
}

}  // namespace
}  // namespace fedmpi
