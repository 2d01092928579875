#include "fedmpi/array_shard.hpp"

#include "byte_flips.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/hdf5_file.hpp"
#include "fedmpi/plugin.hpp"
#include "temporary_directory.hpp"

#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

using Arrays = std::vector<std::pair<std::string, at::Tensor>>;

void write_arrays(const std::filesystem::path& path, const Arrays& arrays) {
  Hdf5Writer file(path);
  for (const auto& [name, tensor] : arrays) file.write(name, tensor);
  file.commit();
}

at::Tensor five_features() {
  return at::arange(10, at::kFloat).view({5, 2}) / 4;
}
at::Tensor five_labels() {
  return at::tensor({2, 0, 1, 1, 0}, at::kLong);
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ArrayShard, IsReadWithLabelsOfAnyIntegerType) {
  const TemporaryDirectory directory;
  for (const at::ScalarType type : {at::kByte, at::kInt, at::kLong}) {
    write_arrays(directory / "train.h5", {{"/features", five_features()}, {"/labels", five_labels().to(type)}});
    const ArrayShard shard = read_array_shard(directory / "train.h5", Task::classification);
    EXPECT_TRUE(at::equal(shard.features, five_features()));
    EXPECT_TRUE(at::equal(shard.labels, five_labels()));
    EXPECT_FALSE(shard.targets.defined() || shard.keys.defined());
  }
}

TEST(ArrayShard, ForRegressionHasTargetsOfAnyNumericType) {
  const TemporaryDirectory directory;
  for (const at::ScalarType type : {at::kInt, at::kLong, at::kFloat, at::kDouble}) {
    write_arrays(directory / "train.h5", {{"/features", five_features()}, {"/labels", five_labels().to(type)}});
    const ArrayShard shard = read_array_shard(directory / "train.h5", Task::regression);
    EXPECT_TRUE(at::equal(shard.targets, five_labels().to(at::kFloat)));
    EXPECT_FALSE(shard.labels.defined());
  }
}

TEST(ArrayShard, KeysAndBytesComeBack) {
  const TemporaryDirectory directory;
  const at::Tensor images = at::arange(5 * 3 * 2 * 2, at::kByte).view({5, 3, 2, 2});
  const at::Tensor keys = at::tensor({9, -9, 7, 9, 7}, at::kInt);
  write_arrays(directory / "train.h5", {{"/features", images}, {"/labels", five_labels()}, {"/keys", keys}});
  const ArrayShard shard = read_array_shard(directory / "train.h5", Task::classification);
  EXPECT_EQ(shard.features.scalar_type(), at::kByte);
  EXPECT_TRUE(at::equal(shard.features, images));
  EXPECT_TRUE(at::equal(shard.keys, keys.to(at::kLong)));
}

TEST(ArrayShard, DigestTellsContentTypeAndShape) {
  const ArrayShard shard{.features = five_features(), .labels = five_labels()};
  const std::string whole = digest(shard);
  EXPECT_EQ(digest(ArrayShard{.features = five_features().clone(), .labels = five_labels()}), whole);
  EXPECT_NE(digest(ArrayShard{.features = five_features().view({5, 1, 2}), .labels = five_labels()}), whole);
  EXPECT_NE(digest(ArrayShard{.features = five_features(), .targets = five_labels().to(at::kFloat)}), whole);
  EXPECT_NE(digest(ArrayShard{.features = five_features(), .labels = five_labels(), .keys = five_labels()}), whole);
  at::Tensor other = five_labels().clone();
  other[4] = 1;
  EXPECT_NE(digest(ArrayShard{.features = five_features(), .labels = other}), whole);
}

TEST(ArrayShard, WhatIsWrongIsNamed) {
  const TemporaryDirectory directory;
  at::Tensor not_finite = five_features().clone();
  not_finite[3][1] = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor reals = five_labels().to(at::kDouble);
  at::Tensor huge = reals.clone();
  huge[2] = 1e300;
  at::Tensor negative = five_labels().clone();
  negative[1] = -1;
  struct Case {
    const char* expected;
    Arrays arrays;
    Task task = Task::classification;
  };
  const std::vector<Case> cases = {
      {"holds no /features", {{"/labels", five_labels()}}},
      {"holds no /labels", {{"/features", five_features()}}},
      {"data.name = \"hdf5_text\" reads it", {{"/tokens", five_labels()}, {"/labels", five_labels()}}},
      {"/features is neither float32 nor uint8",
       {{"/features", five_features().to(at::kDouble)}, {"/labels", five_labels()}}},
      {"write features[:, None]", {{"/features", five_features().select(1, 0)}, {"/labels", five_labels()}}},
      {"/features holds nan in example 3", {{"/features", not_finite}, {"/labels", five_labels()}}},
      {"/labels has 4 values for the 5 of /features",
       {{"/features", five_features()}, {"/labels", five_labels().narrow(0, 0, 4)}}},
      {"/labels has 2 dimensions", {{"/features", five_features()}, {"/labels", five_labels().view({5, 1})}}},
      {"/labels are floating-point numbers", {{"/features", five_features()}, {"/labels", reals}}},
      {"/labels holds -1 for example 1", {{"/features", five_features()}, {"/labels", negative}}},
      {"/labels holds 1000002 for example 0", {{"/features", five_features()}, {"/labels", five_labels() + 1'000'000}}},
      {"/labels holds inf for example 2", {{"/features", five_features()}, {"/labels", huge}}, Task::regression},
      {"/keys has 3 values for the 5 of /features",
       {{"/features", five_features()}, {"/labels", five_labels()}, {"/keys", five_labels().narrow(0, 0, 3)}}},
      {"/keys are not whole numbers", {{"/features", five_features()}, {"/labels", five_labels()}, {"/keys", reals}}},
  };
  for (const Case& one : cases) {
    write_arrays(directory / "bad.h5", one.arrays);
    const std::string error = error_of([&] { read_array_shard(directory / "bad.h5", one.task); });
    EXPECT_NE(error.find(one.expected), std::string::npos) << error;
    EXPECT_NE(error.find("bad.h5: "), std::string::npos) << error;
  }
  EXPECT_NE(error_of([&] { read_array_shard(directory / "none.h5", Task::classification); }).find("none.h5"),
            std::string::npos);
}

TEST(ArrayShard, FlippedBytesAreErrorsOrHarmless) {
  const TemporaryDirectory directory;
  const std::filesystem::path path = directory / "train.h5";
  write_arrays(path, {{"/features", five_features()}, {"/labels", five_labels()}, {"/keys", five_labels()}});
  const std::string expected = digest(read_array_shard(path, Task::classification));
  int num_errors = 0;
  with_flipped_bytes(read_bytes(path), 500, [&](const std::string& bad, std::size_t place) {
    SCOPED_TRACE(place);
    write_bytes(path, bad);
    try {
      EXPECT_EQ(digest(read_array_shard(path, Task::classification)), expected);
    } catch (const FileError& error) {
      EXPECT_EQ(error.path, path);
      ++num_errors;
    }
  });
  EXPECT_GT(num_errors, 250);
}

// The plugin itself, through the real loader.
class ArrayDataset : public testing::Test {
 protected:
  std::unique_ptr<Dataset> open(std::map<std::string, OptionValue> given = {}) {
    const std::vector<std::filesystem::path> search_path{FEDMPI_BUILT_PLUGINS};
    const Plugin plugin = load_plugin("dataset", "hdf5_array", search_path);
    given["path"] = directory_.path().string();
    return make<Dataset>(plugin, Options(plugin.options(), given, "test"));
  }
  void write(const std::string& name, const at::Tensor& features, const at::Tensor& labels) {
    write_arrays(directory_ / name, {{"/features", features}, {"/labels", labels}});
  }
  TemporaryDirectory directory_;
};

TEST_F(ArrayDataset, GivesOutScaledExamplesOfSeveralFiles) {
  const at::Tensor bytes = at::tensor({0, 51, 102, 153, 204, 255}, at::kByte);
  write("train-00000.h5", bytes.view({3, 2}), at::tensor({0, 3, 1}, at::kInt));
  write("train-00001.h5", at::tensor({9, 8}, at::kByte).view({1, 2}), at::tensor({2}, at::kInt));
  write("test.h5", bytes.view({3, 2}), at::tensor({1, 1, 1}, at::kInt));
  const auto dataset = open({{"scale", 1.0 / 255.0}});
  EXPECT_EQ(dataset->size(Split::train), 4);
  EXPECT_EQ(dataset->size(Split::test), 3);
  EXPECT_EQ(dataset->num_labels(), 4);
  EXPECT_EQ(dataset->task(), Task::classification);
  const auto labels = dataset->labels(Split::train);
  EXPECT_EQ(std::vector<std::int64_t>(labels.begin(), labels.end()), (std::vector<std::int64_t>{0, 3, 1, 2}));
  EXPECT_EQ(dataset->lengths(Split::train).size(), 4U);
  const Batch batch = dataset->batch(Split::train, std::vector<std::int64_t>{3, 1, 1});
  EXPECT_TRUE(at::allclose(batch.features * 255, at::tensor({9, 8, 102, 153, 102, 153}, at::kFloat).view({3, 2})));
  EXPECT_TRUE(at::equal(batch.labels, at::tensor({2, 3, 3}, at::kLong)));
  EXPECT_FALSE(batch.targets.defined() || batch.tokens.defined());
  EXPECT_EQ(open({{"num_labels", std::int64_t{9}}})->num_labels(), 9);
  EXPECT_NE(error_of([&] {
              open({{"num_labels", std::int64_t{3}}});
            }).find("train-00000.h5: /labels holds 3 for example 1, but data.num_labels is 3"),
            std::string::npos);
}

TEST_F(ArrayDataset, ForRegressionGivesTargets) {
  const at::Tensor images = at::arange(12, at::kFloat).view({3, 1, 2, 2});
  write("train.h5", images, at::tensor({0.5, -2.0, 7.25}, at::kDouble));
  write("test.h5", images.narrow(0, 0, 1), at::tensor({1.0}, at::kDouble));
  const auto dataset = open({{"task", std::string("regression")}});
  EXPECT_EQ(dataset->task(), Task::regression);
  EXPECT_EQ(dataset->num_labels(), 1);
  const Batch batch = dataset->batch(Split::train, std::vector<std::int64_t>{2, 0});
  EXPECT_TRUE(at::equal(batch.features, images.index_select(0, at::tensor({2, 0}, at::kLong))));
  EXPECT_TRUE(at::equal(batch.targets, at::tensor({7.25, 0.5}, at::kFloat)));
  EXPECT_TRUE(at::equal(batch.labels, at::zeros({2}, at::kLong)));
  EXPECT_NE(error_of([&] { open(); }).find("/labels are floating-point numbers"), std::string::npos);
  EXPECT_NE(error_of([&] {
              open({{"task", std::string("regression")}, {"num_labels", std::int64_t{2}}});
            }).find("data.num_labels is for classification"),
            std::string::npos);
}

TEST_F(ArrayDataset, FilesThatDoNotFitTogetherAreRefused) {
  const at::Tensor labels = at::tensor({0, 1}, at::kLong);
  write("train.h5", at::zeros({2, 3}), labels);
  for (const at::Tensor& other : {at::zeros({2, 4}), at::zeros({2, 3, 1}), at::zeros({2, 3}, at::kByte)}) {
    write("test.h5", other, labels);
    EXPECT_NE(error_of([&] { open(); }).find("test.h5 has /features of another shape or type"), std::string::npos);
  }
  write_arrays(directory_ / "test.h5", {{"/features", at::zeros({2, 3})}, {"/labels", labels}, {"/keys", labels}});
  EXPECT_NE(error_of([&] { open(); }).find("only one of them has /keys"), std::string::npos);
  write("test.h5", at::zeros({2, 3}), labels);
  const std::string before = open()->digest();
  write("test.h5", at::ones({2, 3}), labels);
  EXPECT_NE(open()->digest(), before);
  std::filesystem::remove(directory_ / "test.h5");
  EXPECT_NE(error_of([&] { open(); }).find("holds neither test.h5 nor test-00000.h5; write them with h5py"),
            std::string::npos);
}

}  // namespace
}  // namespace fedmpi
