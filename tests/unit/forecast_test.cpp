#include "forecast.hpp"

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

TEST(FitLine, IsTheLeastSquaresAndGoesThroughTheMean) {
  const std::vector<Sample> exact{{10, 25}, {20, 45}, {40, 85}};  // 5 + 2 x
  const Line line = fit_line(exact);
  EXPECT_NEAR(line.fixed, 5.0, 1e-12);
  EXPECT_NEAR(line.per_unit, 2.0, 1e-12);
  // By hand: slope ((-1)(-1) + 0 + (1)(2)) / 2 = 1.5 around the mean (2, 4 + 1/3 ...): 3, 4, 6.
  const Line other = fit_line(std::vector<Sample>{{1, 3}, {2, 4}, {3, 6}});
  EXPECT_NEAR(other.per_unit, 1.5, 1e-12);
  EXPECT_NEAR(other.at(2), 13.0 / 3.0, 1e-12);
}

TEST(FitLine, NeitherPartIsNegative) {
  const Line falling = fit_line(std::vector<Sample>{{1, 5}, {2, 3}});
  EXPECT_DOUBLE_EQ(falling.per_unit, 0.0);
  EXPECT_DOUBLE_EQ(falling.fixed, 4.0);
  const Line steep = fit_line(std::vector<Sample>{{1, 0.5}, {2, 3.5}});  // its least squares start at -2.5
  EXPECT_DOUBLE_EQ(steep.fixed, 0.0);
  EXPECT_NEAR(steep.at(1.5), 2.0, 1e-12);
}

TEST(FitLine, SamplesThatAreAlikeGiveNoFixedPart) {
  const Line line = fit_line(std::vector<Sample>{{8, 2}, {8, 6}});
  EXPECT_DOUBLE_EQ(line.fixed, 0.0);
  EXPECT_DOUBLE_EQ(line.per_unit, 0.5);
  EXPECT_EQ(fit_line({}).at(100), 0.0);
}

TEST(Makespan, IsTheLongestWhereThereAreCores) {
  EXPECT_DOUBLE_EQ(makespan(std::vector<double>{3, 5, 4}, 1, 4), 5.0);
  EXPECT_DOUBLE_EQ(makespan(std::vector<double>{3, 5}, 2, 4), 5.0);
  EXPECT_DOUBLE_EQ(makespan({}, 1, 1), 0.0);
}

// Four equal ones on two cores take twice as long. 1, 2, 3 on one core: 1 is done after 3, 2 after 5, 3 after 6.
TEST(Makespan, CoresAreSharedFairly) {
  EXPECT_DOUBLE_EQ(makespan(std::vector<double>{4, 4, 4, 4}, 1, 2), 8.0);
  EXPECT_DOUBLE_EQ(makespan(std::vector<double>{1, 2, 3}, 1, 1), 6.0);
  // 2 and 6 on three threads each and four cores: at 2/3 of their speed until 2 is done, then the other alone.
  EXPECT_DOUBLE_EQ(makespan(std::vector<double>{2, 6}, 3, 4), 3.0 + 4.0);
}

TEST(DealOut, FillsNodesInBlocks) {
  const Cluster cluster = deal_out(8, 3, 16, 5);
  EXPECT_EQ(cluster.node_of_rank, (std::vector<int>{0, 0, 0, 1, 1, 1, 2, 2}));
  EXPECT_EQ(cluster.cores_of_node, (std::vector<int>{16, 16, 16}));
  EXPECT_EQ(cluster.hosts(), 7);
  // Nine ranks on eight nodes are two each, which fills five.
  EXPECT_EQ(deal_out(9, 8, 4, 1).nodes(), 5);
  EXPECT_EQ(deal_out(1, 1, 4, 4).hosts(), 1);
}

TEST(MostCheckpoints, AreThoseKeptAndTheOneBeingWritten) {
  EXPECT_EQ(most_checkpoints(3, 1, 3, 0), 4);    // rounds 0 to 3
  EXPECT_EQ(most_checkpoints(100, 1, 3, 0), 4);  // three, and a new one
  EXPECT_EQ(most_checkpoints(100, 10, 0, 0), 11);
  EXPECT_EQ(most_checkpoints(95, 10, 0, 0), 11);      // 0, 10, ..., 90 and 95
  EXPECT_EQ(most_checkpoints(100, 0, 3, 0), 2);       // the first and the last
  EXPECT_EQ(most_checkpoints(100, 1, 3, 50), 4 + 3);  // besides 0, 50 and 100
}

// Two clients of 30 and 10 tokens in batches that take 1 s and 0.1 s a token, two passes; blocks of 20 and 40 tokens.
JobWork two_clients() {
  return {.rounds = {{.client_costs = {30, 10}, .client_steps = {3, 1}, .block_costs = {20, 40}}},
          .num_rounds = 4,
          .num_evaluations = 2,
          .num_saves = 4,
          .passes = 2,
          .shared_bytes = 1000,
          .sum_bytes = 2000};
}

Rates rates() {
  return {.step = {.fixed = 1.0, .per_unit = 0.1},
          .client = {.fixed = 0.5, .per_unit = 0.0},
          .block = {.fixed = 0.0, .per_unit = 0.01}};
}

TEST(Forecast, OneRankDoesEverything) {
  const Cluster one = deal_out(1, 1, 2, 2);
  const Forecast result =
      forecast(two_clients(), rates(), {.advance = 0.25, .record = 0.5, .save = 1.0}, {.copy_bytes_per_second = 1e9},
               one, one, {.server = 7, .host = 7, .shared = 2}, 10.0);
  // Clients 0.5 + 2 (3 + 3) and 0.5 + 2 (1 + 1).
  EXPECT_NEAR(result.fit_seconds, 12.5 + 4.5, 1e-9);
  EXPECT_NEAR(result.evaluate_seconds, 0.6, 1e-9);
  EXPECT_NEAR(result.aggregate_seconds, 0.25, 1e-9);
  EXPECT_EQ(result.broadcast_seconds, 0.0);
  EXPECT_EQ(result.bytes_sent, 0);
  EXPECT_NEAR(result.checkpoint_seconds, 0.5, 1e-9);
  EXPECT_NEAR(result.round_seconds, 17.0 + 0.25 + 0.3 + 0.5, 1e-9);
  // The start, round 0 with its checkpoint, four rounds and the last checkpoint.
  EXPECT_NEAR(result.total_seconds, 10.0 + (0.6 + 1.5) + 4 * 18.05 + 1.0, 1e-9);
  EXPECT_EQ(result.node_bytes, (std::vector<std::int64_t>{7}));
}

// Clients of 12.5 s and 4.5 s, blocks of 0.2 s and 0.4 s.
TEST(Forecast, ARankMayWorkOnSeveralAtOnce) {
  const Cluster one = deal_out(1, 1, 3, 3);
  const auto result = [&](double at_once, double speedup) {
    Rates together = rates();
    together.at_once = at_once;
    together.fit_speedup = together.evaluate_speedup = speedup;
    return forecast(two_clients(), together, {}, {.copy_bytes_per_second = 1e9}, one, one, {}, 0.0);
  };
  EXPECT_NEAR(result(2, 2.0).fit_seconds, 12.5, 1e-9);
  EXPECT_NEAR(result(2, 1.25).fit_seconds, 12.5 * 2 / 1.25, 1e-9);  // together they take longer
  EXPECT_NEAR(result(3, 2.5).fit_seconds, 12.5, 1e-9);              // there are but two
  EXPECT_NEAR(result(2, 0.0).fit_seconds, 25.0, 1e-9);              // not known: as if nothing were gained
  EXPECT_NEAR(result(2, 2.0).evaluate_seconds, 0.4, 1e-9);
}

TEST(Forecast, HostsShareTheClientsAndTheServerEvaluatesToo) {
  const Cluster one = deal_out(1, 1, 4, 1), three = deal_out(3, 1, 4, 1);
  const Forecast result = forecast(two_clients(), rates(), {}, {.copy_bytes_per_second = 1e9}, one, three,
                                   {.server = 5, .host = 9, .shared = 2}, 0.0);
  EXPECT_NEAR(result.fit_seconds, 12.5, 1e-3);
  EXPECT_NEAR(result.busy, 17.0 / (2 * 12.5), 1e-9);
  EXPECT_NEAR(result.evaluate_seconds, 0.4, 1e-3);
  // 2 x 3,000 of buffers, two records to all; of each rank a state and two votes. In half of the rounds one vote more
  // and two blocks' results, of which the server has one.
  EXPECT_EQ(result.bytes_sent, 6000 + 2 * 72 * 3 + 24 * 8 + 2 * 8 + (8 + 32 + 2 * 64) / 2);
  EXPECT_EQ(result.node_bytes, (std::vector<std::int64_t>{2 + 3 + 7 + 7}));
}

TEST(Forecast, LargeBuffersTravelBetweenNodesAlone) {
  JobWork work = two_clients();
  work.shared_bytes = 4'000'000;
  work.sum_bytes = 8'000'000;
  const Cluster one = deal_out(1, 1, 4, 1);
  const auto sent = [&](const Cluster& cluster) {
    return forecast(work, rates(), {}, {.copy_bytes_per_second = 1e9}, one, cluster, {}, 0.0).bytes_sent;
  };
  EXPECT_LT(sent(deal_out(8, 1, 4, 1)), 10'000);
  EXPECT_NEAR(static_cast<double>(sent(deal_out(8, 4, 4, 1))), 3 * 12e6, 10'000);
}

// Five hosts on a node with two cores, and on two nodes.
TEST(Forecast, MoreRanksThanCoresTakeTurns) {
  JobWork work = two_clients();
  work.rounds[0].client_costs = {10, 10, 10, 10};
  work.rounds[0].client_steps = {1, 1, 1, 1};
  const Cluster one = deal_out(1, 1, 2, 1);
  const auto fit = [&](const Cluster& cluster) {
    return forecast(work, rates(), {}, {.copy_bytes_per_second = 1e9}, one, cluster, {}, 0.0).fit_seconds;
  };
  EXPECT_NEAR(fit(deal_out(5, 1, 2, 1)), 2 * 4.5, 1e-3);
  EXPECT_NEAR(fit(deal_out(5, 1, 4, 1)), 4.5, 1e-3);
  EXPECT_NEAR(fit(deal_out(6, 2, 2, 1)), 4.5, 1e-3 + 4.5);
}

TEST(Forecast, ACheckpointThatTakesLongerThanARoundHoldsTheNextUp) {
  const Cluster one = deal_out(1, 1, 1, 1);
  JobWork work = two_clients();
  const auto held_up = [&] {
    return forecast(work, rates(), {.save = 20.0}, {.copy_bytes_per_second = 1e9}, one, one, {}, 0.0)
        .checkpoint_seconds;
  };
  EXPECT_NEAR(held_up(), 20.0 - 17.3, 1e-9);
  work.num_saves = 1;  // in four rounds
  EXPECT_NEAR(held_up(), 0.0, 1e-9);
}

// What was measured on two ranks of a node is scaled by what four need, of which three copy on two cores.
TEST(Forecast, CollectivesAreScaledFromWhatWasMeasured) {
  const Cluster two = deal_out(2, 1, 2, 1), four = deal_out(4, 1, 2, 1);
  const auto broadcast = [&](const Cluster& there) {
    return forecast(two_clients(), rates(), {}, {.broadcast = 0.7, .reduce = 0.2, .copy_bytes_per_second = 1e9}, two,
                    there, {}, 0.0)
        .broadcast_seconds;
  };
  EXPECT_NEAR(broadcast(two), 0.7, 1e-12);
  EXPECT_NEAR(broadcast(four), 1.5 * 0.7, 1e-12);
  EXPECT_GT(broadcast(deal_out(4, 2, 2, 1)), 0.0);
}

}  // namespace
}  // namespace fedmpi
