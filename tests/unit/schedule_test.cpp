#include "schedule.hpp"

#include "cohort.hpp"

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
