#include "rehearsal.hpp"

#include "../fuzz/hdf5_checksums.hpp"
#include "byte_flips.hpp"
#include "fedmpi/checkpoint.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/shard.hpp"
#include "temporary_directory.hpp"

#include <atomic>
#include <csignal>
#include <stdexcept>
#include <thread>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

TEST(Rehearsal, ACrashIsAnErrorThatNamesTheFile) {
  const TemporaryDirectory directory;
  write_bytes(directory / "a.h5", "");
  for (const int signal : {SIGSEGV, SIGFPE, SIGABRT, SIGXCPU}) {
    try {
      rehearse(directory / "a.h5", [signal] { ::raise(signal); });
      FAIL() << signal;
    } catch (const FileError& error) {
      EXPECT_EQ(error.path, directory / "a.h5");
    }
  }
}

// The file may be good: it must not be passed over for an older one.
TEST(Rehearsal, AProcessThatTheSystemEndsIsNoDamage) {
  const TemporaryDirectory directory;
  write_bytes(directory / "a.h5", "");
  try {
    rehearse(directory / "a.h5", [] { ::raise(SIGKILL); });
    FAIL();
  } catch (const UserError& error) {
    FAIL() << error.what();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("memory"), std::string::npos) << error.what();
  }
}

TEST(Rehearsal, WhatTheReaderThrowsOrIsAboutToSayIsLeftToIt) {
  const TemporaryDirectory directory;
  write_bytes(directory / "a.h5", "");
  bool called = false;
  EXPECT_NO_THROW(rehearse(directory / "a.h5", [] { throw std::runtime_error("damaged"); }));
  EXPECT_NO_THROW(rehearse(directory / "missing.h5", [] {}));
  EXPECT_NO_THROW(rehearse(directory / "a.h5", [&called] { called = true; }));
  EXPECT_FALSE(called) << "it ran in this process";
}

// Damage that HDF5's checksums do not betray crashes some of its versions.
template <typename Read>
void expect_survived(const std::filesystem::path& path, Read read) {
  std::string good = read_bytes(path);
  const Hdf5Checksums checksums(reinterpret_cast<const std::uint8_t*>(good.data()), good.size());
  int num_errors = 0;
  with_flipped_bytes(good, 300, [&](std::string bad, std::size_t) {
    checksums.repair(reinterpret_cast<std::uint8_t*>(bad.data()));
    write_bytes(path, bad);
    try {
      read(path);
    } catch (const FileError&) {
      ++num_errors;
    }
  });
  EXPECT_GT(num_errors, 50);
}

TEST(Rehearsal, HostileShardsAreErrors) {
  const TemporaryDirectory directory;
  Shard shard;
  shard.tokens = at::tensor({101, 7, 102}, at::kInt);
  shard.offsets = at::tensor({0, 3}, at::kLong);
  shard.labels = at::tensor({1}, at::kLong);
  shard.vocabulary_size = 1000;
  shard.num_labels = 2;
  write_shard(directory / "train.h5", shard);
  expect_survived(directory / "train.h5", [](const auto& path) { read_shard(path); });
}

TEST(Rehearsal, HostileCheckpointsAreErrors) {
  const TemporaryDirectory directory;
  Checkpoint checkpoint;
  checkpoint.layout = Layout({{"weight", {4, 4}}});
  checkpoint.parameters = at::arange(checkpoint.layout.size(), at::kFloat);
  checkpoint.digest = digest(checkpoint.parameters);
  checkpoint.strategy_state = {{"momentum", at::arange(4, at::kDouble)}};
  save_checkpoint(directory / "a.h5", checkpoint);
  expect_survived(directory / "a.h5", [](const auto& path) { load_checkpoint(path); });
}

// A checkpoint is written by a thread beside the round, which may read files meanwhile.
TEST(Rehearsal, AnotherThreadMayWriteMeanwhile) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "the sanitizer's allocator, unlike the C library's, does not survive a fork while another thread is in it";
#endif
  const TemporaryDirectory directory;
  Checkpoint checkpoint;
  checkpoint.layout = Layout({{"weight", {1 << 18}}});
  checkpoint.parameters = at::arange(checkpoint.layout.size(), at::kFloat);
  save_checkpoint(directory / "a.h5", checkpoint);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    while (!done) save_checkpoint(directory / "b.h5", checkpoint);
  });
  for (int i = 0; i < 50; ++i)
    EXPECT_TRUE(at::equal(load_checkpoint(directory / "a.h5").parameters, checkpoint.parameters));
  done = true;
  writer.join();
}

}  // namespace
}  // namespace fedmpi
