#include "prepare.hpp"

#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/shard.hpp"
#include "review_files.hpp"
#include "temporary_directory.hpp"
#include "text.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

using Example = std::pair<std::int64_t, std::vector<std::int32_t>>;  // label, tokens

constexpr const char* tokens = "[UNK]\n[CLS]\n[SEP]\ngood\nbad\n";

std::vector<Example> examples(const Shard& shard) {
  std::vector<Example> result;
  for (std::int64_t i = 0; i < shard.labels.numel(); ++i) {
    const at::Tensor row =
        shard.tokens.slice(0, shard.offsets[i].item<std::int64_t>(), shard.offsets[i + 1].item<std::int64_t>());
    const auto* data = row.const_data_ptr<std::int32_t>();
    result.push_back({shard.labels[i].item<std::int64_t>(), {data, data + row.numel()}});
  }
  return result;
}

class PrepareTest : public testing::Test {
 protected:
  PrepareTest() {
    write_bytes(directory_ / "vocab.txt", tokens);
    write_archive(directory_ / "a.tar.gz", small_reviews());
    settings_ = {.vocabulary = directory_ / "vocab.txt", .output = directory_ / "out", .threads = 2, .progress = false};
  }

  // What went wrong; the output must not exist afterwards.
  std::string error() {
    try {
      prepare_imdb(source_, settings_);
    } catch (const UserError& error) {
      EXPECT_FALSE(std::filesystem::exists(directory_ / "out"));
      return error.what();
    }
    ADD_FAILURE() << "nothing was refused";
    return "";
  }

  std::vector<std::string> output() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(settings_.output)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  ReviewFiles many_reviews() {
    ReviewFiles files = small_reviews();
    std::string text;
    for (int i = 100; i < 400; ++i) {
      text += i % 3 == 0 ? " good" : " bad";
      files.push_back({"aclImdb/train/pos/" + std::to_string(i) + "_9.txt", text});
    }
    return files;
  }

  TemporaryDirectory directory_;
  std::filesystem::path source_ = directory_ / "a.tar.gz";
  PrepareSettings settings_;
};

TEST_F(PrepareTest, WritesBothSplitsWithTheirProvenance) {
  settings_.max_tokens = 4;
  const PrepareSummary summary = prepare_imdb(source_, settings_);
  EXPECT_EQ(output(), (std::vector<std::string>{"test.h5", "train.h5"}));
  const Shard train = read_shard(directory_ / "out" / "train.h5");
  std::vector<Example> found = examples(train);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (std::vector<Example>{{0, {1, 4, 2}}, {0, {1, 4, 4, 2}}, {1, {1, 3, 3, 2}}}));
  EXPECT_EQ(train.vocabulary_size, 5);
  EXPECT_EQ(train.num_labels, 2);
  EXPECT_EQ(train.vocabulary_digest, digest(std::string_view(tokens)));
  EXPECT_EQ(train.provenance.at("source"), "a.tar.gz");
  EXPECT_EQ(label_names(train, "train.h5"), (std::vector<std::string>{"neg", "pos"}));
  EXPECT_EQ(train.provenance.at("max_tokens"), "4");
  EXPECT_EQ(train.provenance.at("lower_case"), "true");
  EXPECT_EQ(train.provenance.at("seed"), "42");
  EXPECT_EQ(train.provenance.at("tool_version"), "0.1.0");
  EXPECT_EQ(train.provenance.at("texts_digest"),
            digest(std::string_view("train/neg/0 " + digest(std::string_view("bad")) + "\ntrain/neg/1 " +
                                    digest(std::string_view("bad bad bad")) + "\ntrain/pos/0 " +
                                    digest(std::string_view("good good")) + "\n")));
  EXPECT_EQ(summary.train.num_examples, 3);
  EXPECT_EQ(summary.train.num_tokens, 11);
  EXPECT_EQ(summary.train.longest_tokens, 4);
  EXPECT_EQ(summary.train.num_truncated, 1);
  EXPECT_EQ(summary.test.num_examples, 2);
  EXPECT_EQ(summary.files.size(), 2u);
}

TEST_F(PrepareTest, NeitherThreadsNorTheOrderOfFilesNorTheKindOfSourceMatter) {
  ReviewFiles files = many_reviews();
  write_archive(directory_ / "a.tar.gz", files);
  prepare_imdb(source_, settings_);
  const Shard expected = read_shard(directory_ / "out" / "train.h5");
  std::reverse(files.begin(), files.end());
  write_archive(directory_ / "reversed.tar.gz", files);
  write_files(directory_.path(), files);
  for (const char* source : {"reversed.tar.gz", "aclImdb"}) {
    source_ = directory_ / source;
    settings_.output = directory_ / "out" / source;
    settings_.threads = 3;
    prepare_imdb(source_, settings_);
    const Shard shard = read_shard(settings_.output / "train.h5");
    EXPECT_TRUE(shard.tokens.equal(expected.tokens));
    EXPECT_TRUE(shard.offsets.equal(expected.offsets));
    EXPECT_TRUE(shard.labels.equal(expected.labels));
    EXPECT_EQ(shard.provenance.at("texts_digest"), expected.provenance.at("texts_digest"));
  }
}

TEST_F(PrepareTest, TheSeedDecidesTheOrder) {
  write_archive(directory_ / "a.tar.gz", many_reviews());
  prepare_imdb(source_, settings_);
  settings_.output = directory_ / "other";
  settings_.seed = 43;
  prepare_imdb(source_, settings_);
  auto first = examples(read_shard(directory_ / "out" / "train.h5"));
  auto second = examples(read_shard(directory_ / "other" / "train.h5"));
  EXPECT_NE(first, second);
  EXPECT_FALSE(std::is_sorted(first.begin(), first.end()));
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  EXPECT_EQ(first, second);
}

TEST_F(PrepareTest, SeveralShardsHoldTheSameExamplesInTheSameOrder) {
  write_archive(directory_ / "a.tar.gz", many_reviews());
  prepare_imdb(source_, settings_);
  const auto expected = examples(read_shard(directory_ / "out" / "train.h5"));
  settings_.output = directory_ / "parts";
  settings_.shards = 2;
  prepare_imdb(source_, settings_);
  EXPECT_EQ(output(), (std::vector<std::string>{"test-00000.h5", "test-00001.h5", "train-00000.h5", "train-00001.h5"}));
  std::vector<Example> joined;
  for (const auto& path : find_shards(settings_.output, "train")) {
    const auto part = examples(read_shard(path));
    EXPECT_GE(part.size(), expected.size() / 2);
    joined.insert(joined.end(), part.begin(), part.end());
  }
  EXPECT_EQ(joined, expected);
}

TEST_F(PrepareTest, RefusesADirectoryThatHoldsShards) {
  std::filesystem::create_directory(directory_ / "full");
  settings_.output = directory_ / "full";
  for (const char* name : {"train.h5", "test.h5", "train-00007.h5"}) {
    write_bytes(directory_ / "full" / name, "mine");
    EXPECT_THROW(prepare_imdb(source_, settings_), UserError) << name;
    EXPECT_EQ(output(), std::vector<std::string>{name});
    EXPECT_EQ(read_bytes(directory_ / "full" / name), "mine");
    std::filesystem::remove(directory_ / "full" / name);
  }
  write_bytes(directory_ / "full" / "notes.txt", "mine");
  prepare_imdb(source_, settings_);
  EXPECT_EQ(output(), (std::vector<std::string>{"notes.txt", "test.h5", "train.h5"}));
}

TEST_F(PrepareTest, AMistakeLeavesNothing) {
  settings_.max_tokens = 2;
  EXPECT_TRUE(contains(error(), "--max-tokens must be in 3..8192, not 2"));
  settings_.max_tokens = 512;
  settings_.shards = 0;
  EXPECT_TRUE(contains(error(), "--shards"));
  settings_.shards = 3;
  EXPECT_TRUE(contains(error(), "--shards 3 is more than the 2 test examples"));
  settings_.shards = 1;
  settings_.vocabulary = directory_ / "none.txt";
  EXPECT_TRUE(contains(error(), "none.txt"));
  settings_.vocabulary = directory_ / "vocab.txt";
  source_ = directory_ / "none.tar.gz";
  EXPECT_TRUE(contains(error(), "none.tar.gz"));
  write_bytes(directory_ / "file", "");
  source_ = directory_ / "a.tar.gz";
  settings_.output = directory_ / "file";
  EXPECT_THROW(prepare_imdb(source_, settings_), FileError);
  settings_.output = directory_ / "file" / "deeper";
  EXPECT_THROW(prepare_imdb(source_, settings_), FileError);
}

TEST_F(PrepareTest, AnArchiveWithoutASplitOrALabelSaysWhatWasLookedFor) {
  ReviewFiles files = small_reviews();
  std::erase_if(files, [](const auto& file) { return contains(file.first, "test/"); });
  write_archive(directory_ / "a.tar.gz", files);
  EXPECT_TRUE(contains(error(), "looked for test/neg/<id>_<rating>.txt"));
  files = small_reviews();
  std::erase_if(files, [](const auto& file) { return contains(file.first, "train/pos"); });
  write_archive(directory_ / "a.tar.gz", files);
  EXPECT_TRUE(contains(error(), "looked for train/pos/<id>_<rating>.txt"));
}

TEST_F(PrepareTest, DuplicateAndBrokenReviewsLeaveNothing) {
  ReviewFiles files = small_reviews();
  files.push_back({"aclImdb/train/pos/0_3.txt", "again"});
  write_archive(directory_ / "a.tar.gz", files);
  EXPECT_TRUE(contains(error(), "holds two reviews train/pos/0"));
  write_archive(directory_ / "a.tar.gz", small_reviews());
  const std::string whole = read_bytes(directory_ / "a.tar.gz");
  write_bytes(directory_ / "a.tar.gz", whole.substr(0, whole.size() - 20));
  EXPECT_TRUE(contains(error(), "a.tar.gz"));
}

}  // namespace
}  // namespace fedmpi
