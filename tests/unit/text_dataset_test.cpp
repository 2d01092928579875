#include "fedmpi/dataset.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/shard.hpp"
#include "temporary_directory.hpp"

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

class TextDataset : public testing::Test {
 protected:
  TextDataset() {
    Shard shard;
    shard.tokens = at::tensor({101, 1, 2, 3, 4, 5, 102, 101, 9, 102, 101, 102}, at::kInt);
    shard.offsets = at::tensor({0, 7, 10, 12}, at::kLong);
    shard.labels = at::tensor({1, 0, 1}, at::kLong);
    shard.vocabulary_size = 200;
    shard.num_labels = 2;
    shard.vocabulary_digest = "0123456789abcdef";
    for (const char* name : {"train.h5", "test.h5"}) write_shard(directory_ / name, shard);
  }

  std::unique_ptr<Dataset> open(std::map<std::string, OptionValue> options) const {
    options["path"] = directory_.path().string();
    const std::vector<std::filesystem::path> search_path{FEDMPI_BUILT_PLUGINS};
    const Plugin plugin = load_plugin("dataset", "hdf5_text", search_path);
    return make<Dataset>(plugin, Options(plugin.options(), options, "[data]"));
  }

  // Of all three texts.
  at::Tensor tokens(std::map<std::string, OptionValue> options) const {
    return open(std::move(options))->batch(Split::train, std::vector<std::int64_t>{0, 1, 2}).tokens;
  }

  const TemporaryDirectory directory_;
};

TEST_F(TextDataset, TextsAreWholeUnlessTheyAreCut) {
  EXPECT_TRUE(at::equal(tokens({}), at::tensor({101, 1, 2, 3, 4, 5, 102, 101, 9, 102, 101, 102}, at::kInt)));
}

TEST_F(TextDataset, OnEitherSideACutKeepsTheFirstAndTheLastToken) {
  const std::map<std::string, OptionValue> right{{"max_tokens", std::int64_t{4}}};
  std::map<std::string, OptionValue> left = right;
  left["truncation_side"] = std::string("left");
  EXPECT_TRUE(at::equal(tokens(right), at::tensor({101, 1, 2, 102, 101, 9, 102, 101, 102}, at::kInt)));
  EXPECT_TRUE(at::equal(tokens(left), at::tensor({101, 4, 5, 102, 101, 9, 102, 101, 102}, at::kInt)));
  EXPECT_NE(open(right)->digest(), open(left)->digest());
  left["max_tokens"] = std::int64_t{2};
  EXPECT_TRUE(at::equal(tokens(left), at::tensor({101, 102, 101, 102, 101, 102}, at::kInt)));
}

}  // namespace
}  // namespace fedmpi
