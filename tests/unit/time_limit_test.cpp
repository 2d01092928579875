#include "time_limit.hpp"

#include <cstdlib>
#include <ctime>
#include <string>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

struct SlurmEnd {
  explicit SlurmEnd(std::time_t end) { ::setenv("SLURM_JOB_END_TIME", std::to_string(end).c_str(), 1); }
  ~SlurmEnd() { ::unsetenv("SLURM_JOB_END_TIME"); }
};

TEST(TimeLimit, WithoutOneThereIsAlwaysTime) {
  EXPECT_TRUE(TimeLimit(0.0).leaves(1e9));
  EXPECT_FALSE(TimeLimit(0.0).is_over());
}

TEST(TimeLimit, LeavesATenthToSpare) {
  const TimeLimit limit(1000.0);
  EXPECT_TRUE(limit.leaves(900.0));
  EXPECT_FALSE(limit.leaves(910.0));
  EXPECT_FALSE(limit.is_over());
  EXPECT_TRUE(TimeLimit(1e-9).is_over());
}

TEST(TimeLimit, TheAllocationMayEndSooner) {
  const SlurmEnd end(std::time(nullptr) + 105);
  for (const double max_seconds : {0.0, 1000.0}) {
    EXPECT_TRUE(TimeLimit(max_seconds).leaves(80.0));
    EXPECT_FALSE(TimeLimit(max_seconds).leaves(92.0));
  }
  EXPECT_FALSE(TimeLimit(10.0).leaves(80.0));
}

TEST(TimeLimit, AnAllocationThatIsOverLeavesNothing) {
  const SlurmEnd end(std::time(nullptr) - 1);
  EXPECT_TRUE(TimeLimit(0.0).is_over());
}

}  // namespace
}  // namespace fedmpi
