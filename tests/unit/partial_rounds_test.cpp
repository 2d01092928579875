#include "partial_rounds.hpp"

#include "byte_flips.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/partial_round.hpp"
#include "temporary_directory.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

namespace fs = std::filesystem;

const std::string job_text = R"(
[run]
name = "test"
plugins = [")" FEDMPI_BUILT_PLUGINS R"("]
[federation]
clients = 5
[model]
name = "logistic"
[data]
name = "synthetic"
train_examples = 200
test_examples = 40
[training]
learning_rate = 0.1
[checkpoint]
within_round_seconds = 1e-9
)";

void ignore(std::int64_t) {}

// A host in round 4 of a run in `directory`.
struct Rank {
  explicit Rank(const fs::path& directory, const std::vector<std::string>& settings = {})
      : experiment{make(directory, settings)},
        partition{make_partition(experiment.job, *experiment.dataset)},
        host{experiment, partition, nothing},
        kept{experiment},
        global{at::arange(experiment.model->layout().size(), at::kFloat).sin()} {
    fs::create_directories(directory / "checkpoints");
    begin();
  }
  static Experiment make(const fs::path& directory, const std::vector<std::string>& settings) {
    Job job = parse_job(job_text, "test.toml", settings);
    job.run.output = directory;
    return load_experiment(job);
  }
  void begin(int round = 4) {
    host.begin_round(round, 5);
    kept.begin_round(round, global);
  }
  void fit(const std::vector<std::int64_t>& clients) { host.fit(clients, global, at::empty({0, 0}), ignore); }
  void restore() { kept.restore(host, std::vector<std::int64_t>{0, 1, 2, 3, 4}); }
  std::vector<std::int64_t> clients() const {
    std::vector<std::int64_t> found;
    for (const FitRecord& record : host.outcome().records) found.push_back(record.client);
    std::sort(found.begin(), found.end());
    return found;
  }

  Experiment experiment;
  Partition partition;
  ClientStates nothing{{}, {}, 0, 0};
  Host host;
  PartialRounds kept;
  at::Tensor global;
};

std::vector<fs::path> files(const fs::path& directory) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(directory / "checkpoints")) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

using Clients = std::vector<std::int64_t>;

TEST(PartialRounds, WhatTwoRanksKeptAThirdOneHas) {
  const TemporaryDirectory directory;
  Rank first(directory.path()), second(directory.path()), whole(directory.path()), next(directory.path());
  first.fit({3});
  first.kept.save(first.host);
  first.fit({0});
  first.kept.save(first.host);
  second.fit({2, 4});
  second.kept.save(second.host, true);
  EXPECT_EQ(files(directory.path()).size(), 2U);

  next.restore();
  EXPECT_EQ(next.clients(), (Clients{0, 2, 3, 4}));
  next.fit({1});
  whole.fit({0, 1, 2, 3, 4});
  EXPECT_TRUE(at::equal(next.host.sum().sum(), whole.host.sum().sum()));
  for (const FitRecord& record : next.host.outcome().records) {
    const FitRecord& same = *std::ranges::find(whole.host.outcome().records, record.client, &FitRecord::client);
    EXPECT_EQ(record.num_examples, same.num_examples);
    EXPECT_EQ(record.num_steps, same.num_steps);
    EXPECT_EQ(record.num_tokens, same.num_tokens);
    EXPECT_EQ(record.loss, same.loss);
    EXPECT_EQ(record.weight, same.weight);
  }
  next.kept.save(next.host);  // replaces both
  EXPECT_EQ(files(directory.path()).size(), 1U);
}

TEST(PartialRounds, AClientThatIsInTwoFilesCountsOnce) {
  const TemporaryDirectory directory;
  Rank first(directory.path()), second(directory.path()), next(directory.path());
  first.fit({1, 2});
  first.kept.save(first.host);
  second.fit({2});
  second.kept.save(second.host);
  ASSERT_EQ(files(directory.path()).size(), 2U);
  next.restore();
  EXPECT_EQ(next.clients(), (Clients{1, 2}));
  EXPECT_TRUE(at::equal(next.host.sum().sum(), first.host.sum().sum()));
}

TEST(PartialRounds, OnlyTheSameRoundOfTheSameRunIsTaken) {
  const TemporaryDirectory directory;
  Rank first(directory.path());
  first.fit({1});
  first.kept.save(first.host);
  const auto taken = [&](const std::vector<std::string>& settings, int round = 4, double change = 0.0) {
    Rank other(directory.path(), settings);
    other.global.add_(change);
    other.begin(round);
    other.restore();
    return other.clients();
  };
  EXPECT_EQ(taken({"training.learning_rate=0.2"}), Clients{});
  EXPECT_EQ(taken({"run.seed=7"}), Clients{});
  EXPECT_EQ(taken({}, 5), Clients{});
  EXPECT_EQ(taken({}, 4, 1e-3), Clients{});
  EXPECT_EQ(taken({"run.rounds=9", "checkpoint.within_round_seconds=0", "run.threads=1"}), Clients{1});
  Rank without(directory.path());
  without.kept.restore(without.host, Clients{0, 2});
  EXPECT_EQ(without.clients(), Clients{});
}

TEST(PartialRounds, NothingIsWrittenUnlessItIsAskedForAndDueAndNew) {
  const TemporaryDirectory directory;
  Rank off(directory.path(), {"checkpoint.within_round_seconds=0"}),
      rare(directory.path(), {"checkpoint.within_round_seconds=1000"});
  off.fit({1});
  off.kept.save(off.host, true);
  rare.kept.save(rare.host, true);
  rare.fit({1});
  rare.kept.save(rare.host);
  EXPECT_EQ(files(directory.path()).size(), 0U);
  rare.kept.save(rare.host, true);
  ASSERT_EQ(files(directory.path()).size(), 1U);
  fs::remove(files(directory.path())[0]);
  rare.kept.save(rare.host, true);
  EXPECT_EQ(files(directory.path()).size(), 0U);
}

TEST(PartialRounds, ClearTakesWhatIsOverAndNothingElse) {
  const TemporaryDirectory directory;
  Rank rank(directory.path());
  for (const int round : {3, 4, 5}) {
    rank.begin(round);
    rank.fit({1});
    rank.kept.save(rank.host);
  }
  write_bytes(directory / "checkpoints/partial_round_0004_ab.h5.tmp.123", "half");
  write_bytes(directory / "checkpoints/round_0003.h5", "another file");
  rank.kept.clear(4);
  const auto left = files(directory.path());
  ASSERT_EQ(left.size(), 2U);
  EXPECT_TRUE(left[0].filename().string().starts_with("partial_round_0005_"));
  EXPECT_EQ(left[1].filename(), "round_0003.h5");
}

TEST(PartialRounds, ADamagedFileIsDoneWithoutAndSaidSo) {
  const TemporaryDirectory directory;
  Rank first(directory.path());
  first.fit({1});
  first.kept.save(first.host);
  const fs::path path = files(directory.path())[0];
  fs::resize_file(path, fs::file_size(path) / 2);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Rank next(directory.path());
  next.restore();
  const std::string said = testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr();
  EXPECT_EQ(next.clients(), Clients{});
  EXPECT_NE(said.find("a part of round 4 is fitted again: " + path.string()), std::string::npos) << said;
}

TEST(PartialRounds, AFileThatCannotBeWrittenIsDoneWithoutAndSaidSo) {
  const TemporaryDirectory directory;
  Rank rank(directory.path());
  rank.fit({1});
  fs::remove(directory / "checkpoints");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  rank.kept.save(rank.host);
  const std::string said = testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("what is done of round 4 is not kept"), std::string::npos) << said;
}

TEST(PartialRounds, EveryFlippedByteIsFoundOrOfNoConsequence) {
  const TemporaryDirectory directory;
  Rank first(directory.path());
  first.fit({1, 3});
  first.kept.save(first.host);
  const std::string good = read_bytes(files(directory.path())[0]);
  const fs::path path = directory / "bad.h5";
  int refused = 0;
  with_flipped_bytes(good, 200, [&](const std::string& bad, std::size_t place) {
    write_bytes(path, bad);
    try {
      const PartialRound partial = load_partial_round(path);
      EXPECT_EQ(partial.round, 4) << place;
      EXPECT_TRUE(at::equal(partial.sum, first.host.sum().sum())) << place;
      ASSERT_EQ(partial.records.size(), 2U) << place;
      EXPECT_EQ(partial.records[1].weight, first.host.outcome().records[1].weight) << place;
    } catch (const FileError& error) {
      EXPECT_EQ(error.path, path);
      ++refused;
    }
  });
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace fedmpi
