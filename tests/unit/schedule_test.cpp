#include "schedule.hpp"

#include "cohort.hpp"
#include "fit_schedule.hpp"
#include "host_speeds.hpp"

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

TEST(LongestFirst, GivesEachPieceToTheLeastLoadedWorker) {
  const std::vector<std::int64_t> costs{3, 9, 4, 8, 2};
  const auto pieces = longest_first(costs, 2);
  EXPECT_EQ(pieces[0], (std::vector<std::size_t>{1, 0, 4}));  // 9 + 3 + 2
  EXPECT_EQ(pieces[1], (std::vector<std::size_t>{3, 2}));     // 8 + 4
}

TEST(LongestFirst, MoreWorkersThanPieces) {
  const auto pieces = longest_first(std::vector<std::int64_t>{5}, 3);
  EXPECT_EQ(pieces[0].size() + pieces[1].size() + pieces[2].size(), 1U);
}

TEST(LongestFirst, AWorkerOfHalfTheSpeedGetsLess) {
  const std::vector<std::int64_t> costs{6, 5, 4, 3};
  const auto pieces = longest_first(costs, std::vector<double>{2.0, 1.0});
  EXPECT_EQ(pieces[1], (std::vector<std::size_t>{0, 2, 3}));  // done at 6, 10 and 13, where the other would be at 18
  EXPECT_EQ(pieces[0], (std::vector<std::size_t>{1}));        // done at 10 rather than 11
}

TEST(HostSpeeds, FollowWhatRoundsTook) {
  HostSpeeds speeds(3);
  EXPECT_FALSE(speeds.are_known());
  const std::vector<HostSpeeds::Work> first{{.cost = 10, .seconds = 5}, {.cost = 10, .seconds = 20}, {}};
  speeds.learn(first);
  EXPECT_TRUE(speeds.are_known());
  const auto known = [&] {
    return std::vector<double>(speeds.seconds_per_cost().begin(), speeds.seconds_per_cost().end());
  };
  EXPECT_EQ(known(), (std::vector<double>{0.5, 2.0, 1.25}));
  const std::vector<HostSpeeds::Work> second{{.cost = 10, .seconds = 15}, {}, {.cost = 4, .seconds = 1}};
  speeds.learn(second);
  EXPECT_EQ(known(), (std::vector<double>{1.0, 2.0, 0.25}));
  speeds.learn(std::vector<HostSpeeds::Work>(3));
  EXPECT_EQ(known(), (std::vector<double>{1.0, 2.0, 0.25}));
}

TEST(FitSchedule, PredictsFromTheRoundBeforeAndEvensOut) {
  FitSchedule schedule;
  RoundMetrics metrics;
  const auto fitted = [](std::int64_t client, double seconds) {
    return FitRecord{.client = client, .seconds = seconds};
  };
  schedule.deal_out({2, 5, 7}, {10, 10, 10}, 2);
  EXPECT_EQ(schedule.total_cost(), 30);
  EXPECT_EQ(schedule.share(0), (std::vector<std::int64_t>{2, 7}));
  EXPECT_EQ(schedule.share(1), (std::vector<std::int64_t>{5}));
  schedule.learn(std::vector{fitted(2, 1.0), fitted(5, 4.0)}, metrics);  // client 7 failed
  EXPECT_FALSE(metrics.hosts_predicted_seconds.has_value());
  EXPECT_EQ(metrics.hosts_longest_seconds, 4.0);
  EXPECT_EQ(metrics.hosts_idle_share, 1.0 - 5.0 / 8.0);

  // The second host takes four times as long.
  schedule.deal_out({1, 2, 3, 4, 5}, {10, 10, 10, 10, 10}, 2);
  EXPECT_EQ(schedule.share(0), (std::vector<std::int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(schedule.share(1), (std::vector<std::int64_t>{5}));
  schedule.learn(std::vector{fitted(1, 1.0), fitted(2, 1.0), fitted(3, 1.0), fitted(4, 2.0), fitted(5, 4.0)}, metrics);
  EXPECT_EQ(metrics.hosts_predicted_seconds, 4.0);
  EXPECT_EQ(metrics.hosts_longest_seconds, 5.0);
  EXPECT_EQ(metrics.hosts_idle_share, 1.0 - 9.0 / 10.0);

  // Of other hosts nothing is known.
  schedule.deal_out({1, 2}, {10, 10}, 3);
  RoundMetrics others;
  schedule.learn(std::vector{fitted(1, 1.0), fitted(2, 1.0)}, others);
  EXPECT_FALSE(others.hosts_predicted_seconds.has_value());
}

// The sizes that Flower's own tests assert, and its truncation.
TEST(CohortSize, IsFlowers) {
  EXPECT_EQ(cohort_size(20, 1.0, 2), 20);
  EXPECT_EQ(cohort_size(9, 1.0, 2), 9);
  EXPECT_EQ(cohort_size(40, 0.05, 2), 2);
  EXPECT_EQ(cohort_size(39, 0.05, 2), 2);
  EXPECT_EQ(cohort_size(100, 0.29, 2), 28);
  EXPECT_EQ(cohort_size(100, 0.0, 2), 0);
}

TEST(SampleCohort, IsAscendingDistinctAndAFunctionOfTheKey) {
  const RandomKey key = random_key(42, Purpose::sample_clients, 3);
  const auto cohort = sample_cohort(1000, 50, key);
  EXPECT_EQ(cohort, sample_cohort(1000, 50, key));
  EXPECT_NE(cohort, sample_cohort(1000, 50, random_key(42, Purpose::sample_clients, 4)));
  ASSERT_EQ(cohort.size(), 50U);
  for (std::size_t i = 1; i < cohort.size(); ++i) EXPECT_LT(cohort[i - 1], cohort[i]);
  EXPECT_EQ(sample_cohort(3, 3, key), (std::vector<std::int64_t>{0, 1, 2}));
}

}  // namespace
}  // namespace fedmpi
