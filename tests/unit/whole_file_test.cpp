#include "whole_file.hpp"

#include "fedmpi/error.hpp"
#include "temporary_directory.hpp"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fedmpi {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::size_t num_entries(const fs::path& directory) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory)) ++count;
  return count;
}

TEST(WholeFile, IsMadeAndReplaced) {
  const TemporaryDirectory directory;
  for (const char* text : {"first", "second, longer", ""}) {
    write_whole_file(directory / "file", text);
    EXPECT_EQ(content(directory / "file"), text);
  }
  place_whole_file(directory / "file", "placed");
  place_whole_file(directory / "other", "placed");
  const std::vector<fs::path> both{directory / "file", directory / "other"};
  sync_files(both);
  EXPECT_EQ(content(directory / "file"), "placed");
  EXPECT_EQ(num_entries(directory.path()), 2U);
}

TEST(WholeFile, WhatCannotBeWrittenIsAnError) {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "name");
  EXPECT_THROW(write_whole_file(directory / "none" / "file", "x"), FileError);
  EXPECT_THROW(write_whole_file(directory / "name", "x"), FileError);
  const std::vector<fs::path> missing{directory / "none"};
  EXPECT_THROW(sync_files(missing), FileError);
  EXPECT_EQ(num_entries(directory.path()), 1U);
}

TEST(WholeFile, NothingHalfWrittenIsLeftByAProcessThatIsKilled) {
  const TemporaryDirectory directory;
  const int probe = ::open(directory.path().c_str(), O_WRONLY | O_TMPFILE, 0600);
  if (probe < 0) GTEST_SKIP() << "this file system has no files without a name";
  ::close(probe);
  const std::string bytes(32 << 20, 'x');
  for (int i = 0; i < 12; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (int number = 0;; ++number) write_whole_file(directory / std::to_string(number), bytes);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1 + 7 * i));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    for (const auto& entry : fs::directory_iterator(directory.path())) {
      EXPECT_EQ(entry.file_size(), bytes.size()) << entry.path();
      EXPECT_EQ(entry.path().filename().string().find("tmp"), std::string::npos) << entry.path();
      fs::remove(entry.path());
    }
  }
}

}  // namespace
}  // namespace fedmpi
