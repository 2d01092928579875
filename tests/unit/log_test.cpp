#include "fedmpi/log.hpp"

#include "fedmpi/error.hpp"
#include "temporary_directory.hpp"

#include <functional>
#include <regex>
#include <string>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

std::string stderr_of(const std::function<void()>& action) {
  testing::internal::CaptureStderr();
  action();
  return testing::internal::GetCapturedStderr();
}

class LogTest : public testing::Test {
 protected:
  ~LogTest() override {
    close_log();
    set_log_rank(0, 1);
  }
};

TEST_F(LogTest, FirstRankShowsInformationAndWarningsForPeople) {
  const std::string text = stderr_of([] {
    log(LogLevel::debug, "hidden");
    log(LogLevel::info, "round 1 begins");
    log(LogLevel::warning, "slow {} disk");
    log(LogLevel::error, "no disk");
  });
  const std::string time = "[0-9]{2}:[0-9]{2}:[0-9]{2} ";
  EXPECT_TRUE(std::regex_match(
      text, std::regex(time + "round 1 begins\n" + time + "warning: slow \\{\\} disk\n" + time + "error: no disk\n")))
      << text;
}

TEST_F(LogTest, OtherRanksShowWarningsOnly) {
  set_log_rank(3, 8);
  const std::string text = stderr_of([] {
    log(LogLevel::info, "hidden");
    log(LogLevel::warning, "shown");
  });
  EXPECT_TRUE(text.ends_with("rank 3: warning: shown\n")) << text;
  EXPECT_EQ(text.find("hidden"), std::string::npos);
}

TEST_F(LogTest, FileHoldsEverythingFromDebugOn) {
  const TemporaryDirectory directory;
  set_log_rank(3, 8);
  open_log(directory / "log");
  log(LogLevel::debug, "first");
  stderr_of([] { log(LogLevel::warning, "second"); });
  const std::string flushed = read_bytes(directory / "log/rank_03.log");
  EXPECT_NE(flushed.find("second"), std::string::npos) << "a line is on disk at once";
  log(LogLevel::info, "third");
  close_log();
  const std::string time = "\\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}\\] ";
  EXPECT_TRUE(std::regex_match(
      read_bytes(directory / "log/rank_03.log"),
      std::regex(time + "\\[rank 03/08\\] \\[debug\\] first\n" + time + "\\[rank 03/08\\] \\[warning\\] second\n" +
                 time + "\\[rank 03/08\\] \\[info\\] third\n")));
  open_log(directory / "log");
  log(LogLevel::info, "fourth");
  EXPECT_EQ(stderr_of([] { close_log("the disk is full"); }), "") << "whoever closes it tells the terminal";
  const std::string appended = read_bytes(directory / "log/rank_03.log");
  EXPECT_NE(appended.find("first"), std::string::npos) << "a resumed run appends";
  EXPECT_TRUE(appended.ends_with("[error] the disk is full\n")) << appended;
}

TEST_F(LogTest, UnwritableDirectoryIsNamed) {
  const TemporaryDirectory directory;
  write_bytes(directory / "file", "");
  EXPECT_THROW(open_log(directory / "file"), FileError);
}

}  // namespace
}  // namespace fedmpi
