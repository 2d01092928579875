#include "fedmpi/array_shard.hpp"
#include "fedmpi/dataset.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/options.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/shard.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace {

using fedmpi::ArrayShard;
using fedmpi::FileError;
using fedmpi::Split;
using fedmpi::Task;

// Dense examples from the HDF5 files of a directory (data/README.md), held in memory as they are in the files.
class Hdf5Array final : public fedmpi::Dataset {
 public:
  explicit Hdf5Array(const fedmpi::Options& options)
      : directory_{options.get<std::string>("path")},
        task_{options.get<std::string>("task") == "regression" ? Task::regression : Task::classification},
        scale_{static_cast<float>(options.get<double>("scale"))} {
    const bool counted = options.has("num_labels");
    if (counted && task_ == Task::regression)
      throw fedmpi::UserError("data.num_labels is for classification, and data.task is \"regression\": leave it out");
    if (counted) max_labels_ = options.get<std::int64_t>("num_labels");
    train_ = load("train");
    test_ = load("test");
    if (counted) num_labels_ = max_labels_;
    digest_ = fedmpi::digest(fmt::format("{};{};{};{}", train_.digest, test_.digest, scale_, num_labels_));
  }

  std::int64_t size(Split split) const override { return static_cast<std::int64_t>(part(split).labels.size()); }
  Task task() const override { return task_; }
  std::span<const std::int64_t> labels(Split split) const override { return part(split).labels; }
  std::int64_t num_labels() const override { return num_labels_; }
  std::span<const std::int64_t> lengths(Split split) const override { return part(split).lengths; }
  std::span<const std::int64_t> keys(Split split) const override { return part(split).keys; }
  std::string digest() const override { return digest_; }

  fedmpi::Batch batch(Split split, std::span<const std::int64_t> examples) const override {
    const Part& from = part(split);
    const auto count = static_cast<std::int64_t>(examples.size());
    std::vector<std::int64_t> shape = example_shape_;
    shape.insert(shape.begin(), count);
    fedmpi::Batch batch{.features = at::empty(shape, at::kFloat), .labels = at::empty({count}, at::kLong)};
    if (task_ == Task::regression) batch.targets = at::empty({count}, at::kFloat);
    auto* feature = batch.features.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < count; ++i) {
      const auto example = static_cast<std::size_t>(examples[static_cast<std::size_t>(i)]);
      feature = type_ == at::kByte ? copy<std::uint8_t>(from.rows[example], feature)
                                   : copy<float>(from.rows[example], feature);
      batch.labels.mutable_data_ptr<std::int64_t>()[i] = from.labels[example];
      if (task_ == Task::regression) batch.targets.mutable_data_ptr<float>()[i] = from.targets[example];
    }
    return batch;
  }

 private:
  struct Part {
    std::vector<ArrayShard> shards;
    std::vector<const void*> rows;  // into the shards
    std::vector<std::int64_t> labels, lengths, keys;
    std::vector<float> targets;
    std::string digest;
  };

  template <typename Element>
  float* copy(const void* row, float* feature) const {
    const auto* element = static_cast<const Element*>(row);
    return std::transform(element, element + example_size_, feature,
                          [&](Element value) { return scale_ * static_cast<float>(value); });
  }

  Part load(const std::string& split) {
    Part part;
    std::string digests;
    for (const auto& path : fedmpi::find_shards(directory_, split, "write them with h5py, as data/README.md shows")) {
      part.shards.push_back(fedmpi::read_array_shard(path, task_));
      const ArrayShard& shard = part.shards.back();
      check_alike(shard, path);
      const auto* row = static_cast<const char*>(shard.features.const_data_ptr());
      for (std::int64_t i = 0; i < shard.features.size(0); ++i, row += example_size_ * shard.features.element_size())
        part.rows.push_back(row);
      if (task_ == Task::regression) {
        const auto* target = shard.targets.const_data_ptr<float>();
        part.targets.insert(part.targets.end(), target, target + shard.targets.numel());
        part.labels.resize(part.targets.size());
      } else {
        add_labels(shard, part.labels, path);
      }
      if (shard.keys.defined()) {
        const auto* key = shard.keys.const_data_ptr<std::int64_t>();
        part.keys.insert(part.keys.end(), key, key + shard.keys.numel());
      }
      digests += fedmpi::digest(shard);
    }
    part.lengths.assign(part.labels.size(), 1);
    part.digest = fedmpi::digest(digests);
    return part;
  }

  void add_labels(const ArrayShard& shard, std::vector<std::int64_t>& labels, const std::filesystem::path& path) {
    const auto *begin = shard.labels.const_data_ptr<std::int64_t>(), *end = begin + shard.labels.numel();
    if (begin == end) return;
    const auto* largest = std::max_element(begin, end);
    if (*largest >= max_labels_)
      throw FileError(fmt::format("{}: /labels holds {} for example {}, but data.num_labels is {}", path.string(),
                                  *largest, largest - begin, max_labels_),
                      path);
    num_labels_ = std::max(num_labels_, *largest + 1);
    labels.insert(labels.end(), begin, end);
  }

  // All files of both splits.
  void check_alike(const ArrayShard& shard, const std::filesystem::path& path) {
    const std::vector<std::int64_t> shape(shard.features.sizes().begin() + 1, shard.features.sizes().end());
    const bool has_keys = shard.keys.defined();
    if (example_shape_.empty()) {
      example_shape_ = shape;
      example_size_ = 1;
      for (const std::int64_t length : shape) example_size_ *= length;
      type_ = shard.features.scalar_type();
      has_keys_ = has_keys;
    }
    if (shape != example_shape_ || shard.features.scalar_type() != type_ || has_keys != has_keys_)
      throw FileError(fmt::format("{} has /features of another shape or type than the files beside it, or only one of "
                                  "them has /keys: write all of them alike",
                                  path.string()),
                      path);
  }

  const Part& part(Split split) const { return split == Split::train ? train_ : test_; }

  std::filesystem::path directory_;
  Task task_;
  float scale_;
  std::int64_t max_labels_ = 1'000'000;
  std::int64_t num_labels_ = 1;
  std::vector<std::int64_t> example_shape_;
  std::int64_t example_size_ = 0;
  at::ScalarType type_ = at::kFloat;
  bool has_keys_ = false;
  std::string digest_;
  Part train_, test_;
};

using fedmpi::OptionType;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::array options{
    fedmpi::OptionSpec{"path", OptionType::string, nullptr,
                       "directory with train.h5 and test.h5, or train-00000.h5, ...: /features and /labels"},
    fedmpi::OptionSpec{"task", OptionType::string, "classification",
                       "labels are classes from 0; regression: labels are the numbers to predict", -infinity, infinity,
                       "classification|regression"},
    fedmpi::OptionSpec{"num_labels", OptionType::integer, "", "classes; without it the largest label and one", 2, 1e6},
    fedmpi::OptionSpec{"scale", OptionType::number, "1", "features are multiplied by this; 0.00392157 for bytes", -1e30,
                       1e30},
};

}  // namespace

FEDMPI_PLUGIN(Dataset, Hdf5Array, "hdf5_array", "1.0", "dense examples from HDF5 files that h5py wrote", options)
