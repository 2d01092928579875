#include "client_states.hpp"

#include "fedmpi/error.hpp"
#include "temporary_directory.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

namespace fs = std::filesystem;

ClientStates in(const fs::path& directory) {
  return {directory, directory, 3, 4};
}

std::vector<std::string> names(const fs::path& directory) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(directory)) found.push_back(entry.path().filename().string());
  std::sort(found.begin(), found.end());
  return found;
}

TEST(ClientStates, WhatOneRankWroteAnotherReads) {
  const TemporaryDirectory directory;
  ClientStates first = in(directory.path()), second = in(directory.path());
  EXPECT_TRUE(second.is_first(2));
  EXPECT_TRUE(at::equal(second.read(2), at::zeros({3})));
  const KeptState written = first.write(2, 5, at::tensor({1.0F, 2.0F, 3.0F}));
  EXPECT_TRUE(second.is_first(2));  // until the ranks have agreed on it
  second.set(2, written);
  EXPECT_FALSE(second.is_first(2));
  EXPECT_TRUE(at::equal(second.read(2), at::tensor({1.0F, 2.0F, 3.0F})));
}

TEST(ClientStates, TheTableGoesThroughACheckpoint) {
  const TemporaryDirectory directory;
  ClientStates first = in(directory.path()), second = in(directory.path());
  first.set(1, first.write(1, 2, at::tensor({1.0F, 2.0F, 3.0F})));
  second.restore(first.save(), 2);
  EXPECT_TRUE(second.is_first(0));
  EXPECT_TRUE(at::equal(second.read(1), at::tensor({1.0F, 2.0F, 3.0F})));
  EXPECT_THROW(second.restore(first.save(), 1), Error);  // a client of a later round
  EXPECT_THROW(second.restore({}, 2), Error);
}

TEST(ClientStates, AnotherContentThanTheTableSaysIsAnError) {
  const TemporaryDirectory directory;
  ClientStates states = in(directory.path());
  states.set(1, states.write(1, 2, at::tensor({1.0F, 2.0F, 3.0F})));
  states.write(1, 2, at::tensor({1.0F, 2.0F, 4.0F}));
  EXPECT_THROW(states.read(1), FileError);
  states.remove(1, 2);
  EXPECT_THROW(states.read(1), FileError);
  EXPECT_THROW(states.write(1, 3, at::tensor({1.0F, 2.0F, std::numeric_limits<float>::infinity()})), Error);
}

TEST(ClientStates, AVerificationReadsOldOnesAndWritesElsewhere) {
  const TemporaryDirectory directory, other;
  ClientStates run = in(directory.path());
  run.set(0, run.write(0, 2, at::tensor({1.0F, 2.0F, 3.0F})));
  ClientStates verification(directory.path(), other.path(), 3, 4);
  verification.restore(run.save(), 2);
  EXPECT_TRUE(at::equal(verification.read(0), at::tensor({1.0F, 2.0F, 3.0F})));
  verification.set(0, verification.write(0, 3, at::tensor({4.0F, 5.0F, 6.0F})));
  EXPECT_TRUE(at::equal(verification.read(0), at::tensor({4.0F, 5.0F, 6.0F})));
  EXPECT_EQ(names(directory.path()), std::vector<std::string>{"client_000000_round_0002.h5"});
}

TEST(ClientStates, ACheckpointIsNotWrittenWithoutTheFilesItNeeds) {
  const TemporaryDirectory directory;
  const fs::path path = directory.path() / "round_0005.h5";
  ClientStates states = in(client_states_directory(directory.path()));
  for (const std::int64_t client : {0, 1})
    states.set(client, states.write(client, 4 + static_cast<int>(client), at::ones({3})));
  Checkpoint checkpoint;
  checkpoint.strategy_state = states.save();
  ClientStates::sync(checkpoint, path, -1);
  states.remove(0, 4);
  EXPECT_THROW(ClientStates::sync(checkpoint, path, 3), FileError);
  ClientStates::sync(checkpoint, path, 4);  // what the checkpoint before needed is on disk
}

TEST(ClientStates, PruningKeepsWhatACheckpointNeeds) {
  const TemporaryDirectory directory;
  const ClientStates states = in(directory.path());
  for (const int round : {1, 2, 4, 5, 7}) states.write(0, round, at::zeros({3}));
  states.write(1, 1, at::zeros({3}));
  const std::vector<int> checkpoints{3, 5};
  ClientStates::prune(directory.path(), checkpoints, false);
  // Round 3 needs 2, round 5 needs 5 and client 1's only one; 7 may be the next round's.
  const std::string zero = "client_000000_round_", one = "client_000001_round_";
  EXPECT_EQ(names(directory.path()),
            (std::vector{zero + "0002.h5", zero + "0005.h5", zero + "0007.h5", one + "0001.h5"}));
  ClientStates::prune(directory.path(), checkpoints, true);
  EXPECT_EQ(names(directory.path()), (std::vector{zero + "0002.h5", zero + "0005.h5", one + "0001.h5"}));
}

}  // namespace
}  // namespace fedmpi
