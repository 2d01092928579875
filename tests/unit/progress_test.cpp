#include "fedmpi/progress.hpp"

#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

std::string output_of(std::int64_t total, bool enabled) {
  testing::internal::CaptureStderr();  // a file: stderr is not a terminal now
  {
    Progress progress("reading", total, "reviews", enabled);
    progress.advance(3);
    progress.advance(4, "7 files");
  }
  return testing::internal::GetCapturedStderr();
}

TEST(Progress, PrintsPlainLinesWhereThereIsNoTerminal) {
  const std::string text = output_of(10, true);
  EXPECT_TRUE(text.starts_with("reading 7/10 reviews (70%), ")) << text;
  EXPECT_TRUE(text.ends_with(", 7 files\n")) << text;
  EXPECT_NE(text.find(" reviews/s, 0:00"), std::string::npos) << text;
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\n'), text.size() - 1);
}

TEST(Progress, UnknownTotalIsNotShown) {
  EXPECT_TRUE(output_of(0, true).starts_with("reading 7 reviews, "));
}

TEST(Progress, DisabledPrintsNothing) {
  EXPECT_EQ(output_of(10, false), "");
}

TEST(Progress, SaysNothingOfWorkThatFailed) {
  testing::internal::CaptureStderr();
  try {
    Progress progress("reading", 10, "reviews", true);
    progress.advance(3);
    throw std::runtime_error("the file ends early");
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace fedmpi
