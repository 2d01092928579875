#include "fedmpi/checkpoint.hpp"

#include "byte_flips.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/hdf5_file.hpp"
#include "temporary_directory.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

Checkpoint small_checkpoint(int round = 3) {
  Checkpoint checkpoint;
  checkpoint.round = round;
  checkpoint.layout =
      Layout({{.name = "head.weight", .shape = {2, 3}, .role = TensorRole::frozen, .kind = TensorKind::head},
              {.name = "norm.weight", .shape = {3}, .role = TensorRole::local, .kind = TensorKind::normalization},
              {.name = "norm.mean", .shape = {3}, .role = TensorRole::local_statistic},
              {.name = "body.mean", .shape = {2}, .role = TensorRole::statistic},
              {.name = "body.weight", .shape = {4, 5}, .learning_rate = 0.001}});
  checkpoint.parameters = at::arange(checkpoint.layout.size(), at::kFloat) / 7;
  checkpoint.digest = digest(checkpoint.parameters);
  checkpoint.strategy_state = {{"z_last", at::arange(5, at::kDouble)}, {"a_first", at::tensor({42}, at::kLong)}};
  checkpoint.job = "[run]\nname = \"naïve\"\n";
  checkpoint.dataset_digest = "feed";
  checkpoint.label_names = {"neg", "p\"os"};
  checkpoint.model_digest = "cafe";
  checkpoint.history = {R"({"round":0})", R"({"round":1})"};
  checkpoint.versions = {{"torch", "2.13.0"}, {"plugin.model", "beef"}};
  return checkpoint;
}

void expect_equal(const Checkpoint& a, const Checkpoint& b) {
  EXPECT_EQ(a.round, b.round);
  EXPECT_EQ(a.digest, b.digest);
  EXPECT_TRUE(at::equal(a.parameters, b.parameters));
  EXPECT_EQ(a.job, b.job);
  EXPECT_EQ(a.dataset_digest, b.dataset_digest);
  EXPECT_EQ(a.label_names, b.label_names);
  EXPECT_EQ(a.model_digest, b.model_digest);
  EXPECT_EQ(a.history, b.history);
  EXPECT_EQ(a.versions, b.versions);
  ASSERT_EQ(a.strategy_state.size(), b.strategy_state.size());
  for (std::size_t i = 0; i < a.strategy_state.size(); ++i) {
    EXPECT_EQ(a.strategy_state[i].name, b.strategy_state[i].name);
    EXPECT_EQ(a.strategy_state[i].tensor.scalar_type(), b.strategy_state[i].tensor.scalar_type());
    EXPECT_TRUE(at::equal(a.strategy_state[i].tensor, b.strategy_state[i].tensor));
  }
  ASSERT_EQ(a.layout.num_tensors(), b.layout.num_tensors());
  for (std::size_t i = 0; i < a.layout.num_tensors(); ++i) {
    const std::size_t in_a = a.layout.order()[i], in_b = b.layout.order()[i];
    const TensorSpec &mine = a.layout.spec(in_a), &theirs = b.layout.spec(in_b);
    EXPECT_EQ(mine.name, theirs.name);
    EXPECT_EQ(mine.shape, theirs.shape);
    EXPECT_EQ(mine.role, theirs.role);
    EXPECT_EQ(mine.kind, theirs.kind);
    EXPECT_EQ(mine.learning_rate, theirs.learning_rate);
    EXPECT_EQ(a.layout.offset(in_a), b.layout.offset(in_b));
  }
}

TEST(Checkpoint, ComesBackAsSaved) {
  const TemporaryDirectory directory;
  save_checkpoint(directory / "made/a.h5", small_checkpoint());
  expect_equal(load_checkpoint(directory / "made/a.h5"), small_checkpoint());
}

TEST(Checkpoint, LongHistoryComesBack) {
  const TemporaryDirectory directory;
  Checkpoint checkpoint = small_checkpoint();
  checkpoint.history.assign(2000, R"({"round":1,"digest":"0123456789abcdef0123456789abcdef"})");
  save_checkpoint(directory / "a.h5", checkpoint);
  expect_equal(load_checkpoint(directory / "a.h5"), checkpoint);
}

TEST(Checkpoint, EmptyPartsComeBack) {
  const TemporaryDirectory directory;
  Checkpoint checkpoint;
  checkpoint.parameters = at::empty({0}, at::kFloat);
  save_checkpoint(directory / "a.h5", checkpoint);
  expect_equal(load_checkpoint(directory / "a.h5"), checkpoint);
}

TEST(Checkpoint, NamelessStateIsRefused) {
  const TemporaryDirectory directory;
  Checkpoint checkpoint = small_checkpoint();
  checkpoint.strategy_state[0].name = "a/b";
  EXPECT_THROW(save_checkpoint(directory / "a.h5", checkpoint), FileError);
}

TEST(Checkpoint, FlippedBytesAreHarmlessOrThePreviousOneIsLoaded) {
  const TemporaryDirectory directory;
  const std::filesystem::path path = checkpoint_path(directory.path(), 3);
  save_checkpoint(checkpoint_path(directory.path(), 2), small_checkpoint(2));
  save_checkpoint(path, small_checkpoint(3));
  int num_passed_over = 0;
  with_flipped_bytes(read_bytes(path), 500, [&](const std::string& bad, std::size_t place) {
    SCOPED_TRACE(place);
    write_bytes(path, bad);
    testing::internal::CaptureStderr();
    const Checkpoint loaded = load_newest_checkpoint(directory.path()).value();
    const std::string log = testing::internal::GetCapturedStderr();
    const bool passed_over = log.find(path.string()) != std::string::npos;
    expect_equal(loaded, small_checkpoint(passed_over ? 2 : 3));
    num_passed_over += passed_over ? 1 : 0;
  });
  EXPECT_GT(num_passed_over, 250);
}

TEST(Checkpoint, TruncatedFilesAndOtherFilesAreErrors) {
  const TemporaryDirectory directory;
  save_checkpoint(directory / "good.h5", small_checkpoint());
  const std::string good = read_bytes(directory / "good.h5");
  for (std::size_t size = 0; size < good.size(); size += 97) {
    write_bytes(directory / "bad.h5", good.substr(0, size));
    EXPECT_THROW(load_checkpoint(directory / "bad.h5"), FileError) << size;
  }
  Hdf5Writer other(directory / "other.h5");
  other.write_string("/", "schema", "fedmpi-shard");
  other.commit();
  EXPECT_THROW(load_checkpoint(directory / "other.h5"), FileError);
}

// With digests that are right, so that it is the reader of what they cover that must object.
void write_hostile(const std::filesystem::path& path, std::map<std::string, std::string> attributes) {
  attributes.insert({{"digest", ""},
                     {"layout", "[]"},
                     {"job", ""},
                     {"dataset_digest", ""},
                     {"model_digest", ""},
                     {"history", ""},
                     {"versions", "{}"}});
  Hdf5Writer file(path);
  file.write_string("/", "schema", "fedmpi-checkpoint");
  file.write_integer("/", "schema_version", 2);
  file.write_integer("/", "round", 1);
  Digest all;
  all.add("round=1;");
  for (const auto& [name, value] : attributes) {
    file.write_string("/", name, value);
    all.add(std::to_string(name.size()) + ":" + name + "=" + std::to_string(value.size()) + ":" + value + ";");
  }
  file.write_string("/", "attributes_digest", all.hex());
  for (const auto& [name, tensor] : std::map<std::string, at::Tensor>{
           {"/parameters", at::empty({0}, at::kFloat)}, {"/strategy/a", at::zeros({1000}, at::kDouble)}}) {
    file.write(name, tensor);
    file.write_string(name, "digest", digest(tensor));
  }
  file.commit();
}

TEST(Checkpoint, HostileContentIsAnErrorThatSaysWhy) {
  const TemporaryDirectory directory;
  std::string many = R"(["a")";
  for (int i = 0; i < 100; ++i) many += R"(,"a")";
  const std::vector<std::pair<std::map<std::string, std::string>, std::string>> cases = {
      {{{"strategy_state", R"(["a"])"}}, "no error"},
      {{{"strategy_state", many + "]"}}, "larger than the file"},
      {{{"strategy_state", "[]"}, {"layout", R"([{"name":"w","shape":[-1],"role":"shared","offset":0}])"}},
       "does not fit in the parameters"},
      // As it was written before there were statistics and kinds.
      {{{"strategy_state", "[]"},
        {"layout", R"([{"name":"w","shape":[0],"role":"shared","offset":0,"learning_rate":0.5},)"
                   R"({"name":"f","shape":[0],"role":"frozen","offset":0}])"}},
       "no error"},
      {{{"strategy_state", "[]"}, {"layout", R"([{"name":"w","shape":[0],"role":"buffer","offset":0}])"}},
       "the role buffer is not known"},
      {{{"strategy_state", "[]"}, {"layout", R"([{"name":"w","shape":[0],"role":"shared","offset":0,"kind":"x"}])"}},
       "the kind x is not known"},
      {{{"strategy_state", "[]"}, {"layout", std::string(500'000, '[') + std::string(500'000, ']')}},
       "is not a checkpoint"},
  };
  for (const auto& [attributes, expected] : cases) {
    write_hostile(directory / "a.h5", attributes);
    std::string message = "no error";
    try {
      load_checkpoint(directory / "a.h5");
    } catch (const FileError& error) {
      message = error.what();
    }
    EXPECT_NE(message.find(expected), std::string::npos) << message;
  }
}

TEST(CheckpointDirectory, ListsByRoundAndOnlyCheckpoints) {
  const TemporaryDirectory directory;
  EXPECT_TRUE(list_checkpoints(directory / "missing").empty());
  for (const char* name : {"round_10000.h5", "round_0009.h5", "round_0010.h5", "round_9.h5", "round_.h5",
                           "round_0001.h5x", "round_0002.h5.tmp.7", "notes.txt", "round_-001.h5"}) {
    write_bytes(directory / name, "");
  }
  EXPECT_EQ(
      list_checkpoints(directory.path()),
      (std::vector<std::filesystem::path>{checkpoint_path(directory.path(), 9), checkpoint_path(directory.path(), 10),
                                          checkpoint_path(directory.path(), 10000)}));
}

TEST(CheckpointDirectory, NewestThatCanBeReadIsLoaded) {
  const TemporaryDirectory directory;
  EXPECT_FALSE(load_newest_checkpoint(directory.path()).has_value());
  for (int round = 1; round <= 3; ++round) {
    save_checkpoint(checkpoint_path(directory.path(), round), small_checkpoint(round));
  }
  EXPECT_EQ(load_newest_checkpoint(directory.path())->round, 3);
  write_bytes(directory / "round_0003.h5", "damaged");
  testing::internal::CaptureStderr();
  EXPECT_EQ(load_newest_checkpoint(directory.path())->round, 2);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("round_0003.h5"), std::string::npos);
  write_bytes(directory / "round_0001.h5", "damaged");
  write_bytes(directory / "round_0002.h5", "damaged");
  testing::internal::CaptureStderr();
  EXPECT_THROW(load_newest_checkpoint(directory.path()), FileError);
  testing::internal::GetCapturedStderr();
}

TEST(CheckpointDirectory, PruningKeepsTheNewest) {
  const TemporaryDirectory directory;
  for (const int round : {2, 9, 10, 11}) write_bytes(checkpoint_path(directory.path(), round), "");
  write_bytes(directory / "round_0012.h5.tmp.99", "");
  prune_checkpoints(directory.path(), 0, 0);
  EXPECT_FALSE(std::filesystem::exists(directory / "round_0012.h5.tmp.99"));
  EXPECT_EQ(list_checkpoints(directory.path()).size(), 4u);
  write_bytes(directory / "round_0012.h5.tmp.99", "");
  prune_checkpoints(directory.path(), 2, 0);
  EXPECT_EQ(list_checkpoints(directory.path()),
            (std::vector<std::filesystem::path>{checkpoint_path(directory.path(), 10),
                                                checkpoint_path(directory.path(), 11)}));
  EXPECT_FALSE(std::filesystem::exists(directory / "round_0012.h5.tmp.99"));
  prune_checkpoints(directory.path(), 5, 0);
  EXPECT_EQ(list_checkpoints(directory.path()).size(), 2u);
}

TEST(CheckpointDirectory, PruningSparesEveryFewthRound) {
  const TemporaryDirectory directory;
  for (int round = 0; round < 9; ++round) write_bytes(checkpoint_path(directory.path(), round), "");
  prune_checkpoints(directory.path(), 2, 3);
  std::vector<std::filesystem::path> expected;
  for (const int round : {0, 3, 6, 7, 8}) expected.push_back(checkpoint_path(directory.path(), round));
  EXPECT_EQ(list_checkpoints(directory.path()), expected);
}

TEST(CheckpointDirectory, LaterRoundsAreSetAside) {
  const TemporaryDirectory directory;
  for (const int round : {2, 9, 10, 11}) write_bytes(checkpoint_path(directory.path(), round), std::to_string(round));
  set_aside_checkpoints(directory.path(), 10);
  EXPECT_EQ(
      list_checkpoints(directory.path()),
      (std::vector<std::filesystem::path>{checkpoint_path(directory.path(), 2), checkpoint_path(directory.path(), 9)}));
  EXPECT_EQ(read_bytes(directory / "round_0011.h5.old"), "11");
}

TEST(LibraryVersions, NameWhatResultsDependOn) {
  const auto versions = library_versions();
  for (const char* key : {"fedmpi", "torch", "mpi", "hdf5", "compiler", "instruction_set"}) {
    ASSERT_TRUE(versions.contains(key)) << key;
    EXPECT_FALSE(versions.at(key).empty()) << key;
    RecordProperty(key, versions.at(key));
  }
}

}  // namespace
}  // namespace fedmpi
