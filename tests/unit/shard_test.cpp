#include "fedmpi/shard.hpp"

#include "byte_flips.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/hdf5_file.hpp"
#include "temporary_directory.hpp"

#include <functional>
#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

Shard three_reviews(std::int64_t vocabulary_size = 1000) {
  Shard shard;
  shard.tokens = at::tensor({101, 7, 102, 101, 102, 101, 8, 9, 102}, at::kInt);
  shard.offsets = at::tensor({0, 3, 5, 9}, at::kLong);
  shard.labels = at::tensor({1, 0, 1}, at::kLong);
  shard.vocabulary_size = vocabulary_size;
  shard.num_labels = 2;
  shard.vocabulary_digest = "0123456789abcdef";
  shard.provenance = {{"source", "reviews"}, {"max_tokens", "512"}};
  return shard;
}

void expect_equal(const Shard& a, const Shard& b) {
  ASSERT_EQ(a.keys.defined(), b.keys.defined());
  if (a.keys.defined()) {
    EXPECT_TRUE(at::equal(a.keys, b.keys));
  }
  EXPECT_TRUE(at::equal(a.tokens, b.tokens));
  EXPECT_TRUE(at::equal(a.offsets, b.offsets));
  EXPECT_TRUE(at::equal(a.labels, b.labels));
  EXPECT_EQ(a.vocabulary_size, b.vocabulary_size);
  EXPECT_EQ(a.num_labels, b.num_labels);
  EXPECT_EQ(a.vocabulary_digest, b.vocabulary_digest);
  EXPECT_EQ(a.provenance, b.provenance);
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const FileError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Shard, ComesBackAsWritten) {
  const TemporaryDirectory directory;
  for (const std::int64_t vocabulary_size : {1000, 65536, 65537}) {
    const Shard shard = three_reviews(vocabulary_size);
    write_shard(directory / "train.h5", shard);
    expect_equal(read_shard(directory / "train.h5"), shard);
  }
}

TEST(Shard, WithKeysComesBackAsWritten) {
  const TemporaryDirectory directory;
  Shard shard = three_reviews();
  shard.keys = at::tensor({std::int64_t{-5}, std::int64_t{1} << 40, std::int64_t{-5}}, at::kLong);
  write_shard(directory / "train.h5", shard);
  expect_equal(read_shard(directory / "train.h5"), shard);
}

TEST(Shard, NamesOfLabelsAreOneForEach) {
  Shard shard = three_reviews();
  EXPECT_TRUE(label_names(shard, "a.h5").empty());
  shard.provenance["label_names"] = R"(["neg","pos"])";
  EXPECT_EQ(label_names(shard, "a.h5"), (std::vector<std::string>{"neg", "pos"}));
  for (const char* wrong : {"", "neg", R"("neg")", R"(["neg"])", R"(["neg","neg"])", R"(["a","b","c"])", "[0,1]"}) {
    shard.provenance["label_names"] = wrong;
    EXPECT_NE(error_of([&] { label_names(shard, "a.h5"); }).find("a.h5: its attribute label_names"), std::string::npos)
        << wrong;
  }
}

TEST(Shard, WithoutExamplesComesBackAsWritten) {
  const TemporaryDirectory directory;
  Shard shard = three_reviews();
  shard.tokens = at::empty({0}, at::kInt);
  shard.offsets = at::zeros({1}, at::kLong);
  shard.labels = at::empty({0}, at::kLong);
  write_shard(directory / "train.h5", shard);
  expect_equal(read_shard(directory / "train.h5"), shard);
}

TEST(Shard, SmallVocabularyIsStoredInTwoBytesAToken) {
  const TemporaryDirectory directory;
  Shard shard = three_reviews(65536);
  shard.tokens = at::randint(0, 65536, {100'000}, at::kInt);
  shard.offsets = at::tensor({0, 3, 5, 100'000}, at::kLong);
  write_shard(directory / "two.h5", shard);
  shard.vocabulary_size = 65537;
  write_shard(directory / "four.h5", shard);
  EXPECT_LT(std::filesystem::file_size(directory / "two.h5"), 205'000u);
  EXPECT_GT(std::filesystem::file_size(directory / "four.h5"), 400'000u);
}

// Written past write_shard's own checks, so that it is the reader that must object.
void write_unchecked(const std::filesystem::path& path, const Shard& shard) {
  Hdf5Writer file(path);
  file.write_string("/", "schema", "fedmpi-shard");
  file.write_integer("/", "schema_version", 1);
  file.write_integer("/", "vocabulary_size", shard.vocabulary_size);
  file.write_integer("/", "num_labels", shard.num_labels);
  file.write_string("/", "vocabulary_digest", shard.vocabulary_digest);
  file.write("/tokens", shard.tokens);
  file.write("/offsets", shard.offsets);
  file.write("/labels", shard.labels);
  if (shard.keys.defined()) file.write("/keys", shard.keys);
  file.commit();
}

TEST(Shard, BrokenPromisesAreNamedWrittenOrRead) {
  const TemporaryDirectory directory;
  const std::vector<std::pair<std::string, std::function<void(Shard&)>>> cases = {
      {"/tokens holds 1000 at position 4", [](Shard& s) { s.tokens[4] = 1000; }},
      {"/tokens holds -1 at position 0", [](Shard& s) { s.tokens[0] = -1; }},
      {"/labels holds 2 at position 1", [](Shard& s) { s.labels[1] = 2; }},
      {"/offsets has 3 entries where 3 labels need 4",
       [](Shard& s) {
         s.offsets = at::tensor({0, 3, 9}, at::kLong);
       }},
      {"does not begin with 0", [](Shard& s) { s.offsets[0] = 1; }},
      {"descends after position 1", [](Shard& s) { s.offsets[2] = 2; }},
      {"ends with 8 but there are 9 tokens", [](Shard& s) { s.offsets[3] = 8; }},
      {"/tokens must be 1-D", [](Shard& s) { s.tokens = s.tokens.to(at::kLong); }},
      {"/labels must be 1-D",
       [](Shard& s) {
         s.labels = s.labels.view({3, 1});
       }},
      {"/offsets must be 1-D", [](Shard& s) { s.offsets = s.offsets.to(at::kDouble); }},
      {"/keys has 2 entries, but /labels 3",
       [](Shard& s) {
         s.keys = at::tensor({1, 2}, at::kLong);
       }},
      {"/keys must be 1-D and of type int64", [](Shard& s) { s.keys = at::zeros({3}); }},
      {"vocabulary_size 0", [](Shard& s) { s.vocabulary_size = 0; }},
      {"num_labels 0", [](Shard& s) { s.num_labels = 0; }},
  };
  for (const auto& [expected, damage] : cases) {
    Shard shard = three_reviews();
    damage(shard);
    const std::string written = error_of([&] { write_shard(directory / "train.h5", shard); });
    EXPECT_NE(written.find(expected), std::string::npos) << written;
    EXPECT_FALSE(std::filesystem::exists(directory / "train.h5"));
    write_unchecked(directory / "bad.h5", shard);
    const std::string read = error_of([&] { read_shard(directory / "bad.h5"); });
    EXPECT_NE(read.find(expected), std::string::npos) << read;
    EXPECT_NE(read.find("bad.h5"), std::string::npos) << read;
  }
}

TEST(Shard, OtherFilesAreNotShards) {
  const TemporaryDirectory directory;
  Hdf5Writer file(directory / "other.h5");
  file.write_string("/", "schema", "another");
  file.commit();
  EXPECT_NE(error_of([&] { read_shard(directory / "other.h5"); }).find("is not a shard"), std::string::npos);
}

TEST(Shard, FlippedBytesAreErrorsOrHarmless) {
  const TemporaryDirectory directory;
  const Shard shard = three_reviews();
  const std::filesystem::path path = directory / "train.h5";
  write_shard(path, shard);
  int num_errors = 0;
  with_flipped_bytes(read_bytes(path), 500, [&](const std::string& bad, std::size_t place) {
    SCOPED_TRACE(place);
    write_bytes(path, bad);
    try {
      expect_equal(read_shard(path), shard);
    } catch (const FileError& error) {
      EXPECT_EQ(error.path, path);
      ++num_errors;
    }
  });
  EXPECT_GT(num_errors, 250);
}

TEST(Shard, TruncatedFilesAreErrors) {
  const TemporaryDirectory directory;
  write_shard(directory / "good.h5", three_reviews());
  const std::string good = read_bytes(directory / "good.h5");
  for (std::size_t size = 0; size < good.size(); size += 37) {
    write_bytes(directory / "bad.h5", good.substr(0, size));
    EXPECT_THROW(read_shard(directory / "bad.h5"), FileError) << size;
  }
}

TEST(Shard, ShardsOfASplitAreFoundInOrder) {
  const TemporaryDirectory directory;
  EXPECT_NE(error_of([&] { find_shards(directory.path(), "train"); }).find("neither train.h5 nor train-00000.h5"),
            std::string::npos);
  for (const char* name : {"train-00001.h5", "train-00000.h5", "train-x.h5", "test.h5", "train-00000.h5.tmp.17"}) {
    write_bytes(directory / name, "");
  }
  EXPECT_EQ(find_shards(directory.path(), "train"),
            (std::vector<std::filesystem::path>{directory / "train-00000.h5", directory / "train-00001.h5"}));
  EXPECT_EQ(find_shards(directory.path(), "test"), (std::vector<std::filesystem::path>{directory / "test.h5"}));
  write_bytes(directory / "train-00003.h5", "");
  EXPECT_NE(error_of([&] { find_shards(directory.path(), "train"); }).find("train-00002.h5: is missing"),
            std::string::npos);
  write_bytes(directory / "train.h5", "");
  EXPECT_NE(error_of([&] { find_shards(directory.path(), "train"); }).find("holds both"), std::string::npos);
  EXPECT_THROW(find_shards(directory / "missing", "train"), FileError);
}

}  // namespace
}  // namespace fedmpi
