#include "fedmpi/array_shard.hpp"

#include "fedmpi/digest.hpp"
#include "fedmpi/hdf5_file.hpp"
#include "file_error.hpp"
#include "rehearsal.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

constexpr std::int64_t max_labels = 1'000'000;

// What is in the file, as it is there.
struct Arrays {
  at::Tensor features, labels, keys;
};

Arrays read_arrays(const std::filesystem::path& path) {
  const Hdf5Reader file(path);
  if (!file.has("/features") && file.has("/tokens"))
    throw file_error(path, "holds tokenized text, not features: data.name = \"hdf5_text\" reads it");
  Arrays arrays{.features = file.read("/features"), .labels = file.read("/labels")};
  if (file.has("/keys")) arrays.keys = file.read("/keys");
  return arrays;
}

// The place of the first value that is not finite, or -1.
std::int64_t find_not_finite(const at::Tensor& values) {
  const float *begin = values.const_data_ptr<float>(), *end = begin + values.numel();
  const float* bad = std::find_if(begin, end, [](float value) { return !std::isfinite(value); });
  return bad == end ? -1 : bad - begin;
}

void check_features(const at::Tensor& features, const std::filesystem::path& path) {
  if (features.scalar_type() != at::kFloat && features.scalar_type() != at::kByte)
    throw file_error(path, "/features is neither float32 nor uint8: write features.astype(\"float32\")");
  if (features.dim() < 2)
    throw file_error(path, "/features has 1 dimension, and the first one counts examples: write features[:, None]");
  if (features.scalar_type() != at::kFloat || features.numel() == 0) return;
  if (const std::int64_t place = find_not_finite(features); place >= 0)
    throw file_error(
        path, fmt::format("/features holds {} in example {}: leave such examples out",
                          features.const_data_ptr<float>()[place], place / (features.numel() / features.size(0))));
}

// One value an example.
void check_length(const at::Tensor& values, const char* name, std::int64_t num_examples,
                  const std::filesystem::path& path) {
  if (values.dim() != 1)
    throw file_error(path, fmt::format("{} has {} dimensions: write one value for each example", name, values.dim()));
  if (values.numel() != num_examples)
    throw file_error(path, fmt::format("{} has {} values for the {} of /features", name, values.numel(), num_examples));
}

at::Tensor classes(const at::Tensor& labels, const std::filesystem::path& path) {
  if (labels.is_floating_point())
    throw file_error(path,
                     "/labels are floating-point numbers: write labels.astype(\"int64\"), or set "
                     "data.task = \"regression\" to predict the numbers themselves");
  at::Tensor result = labels.to(at::kLong);
  const auto *begin = result.const_data_ptr<std::int64_t>(), *end = begin + result.numel();
  const auto* bad = std::find_if(begin, end, [](std::int64_t label) { return label < 0 || label >= max_labels; });
  if (bad != end)
    throw file_error(path, fmt::format("/labels holds {} for example {}: number the classes from 0, below {}", *bad,
                                       bad - begin, max_labels));
  return result;
}

at::Tensor numbers(const at::Tensor& labels, const std::filesystem::path& path) {
  at::Tensor result = labels.to(at::kFloat);
  if (const std::int64_t place = find_not_finite(result); place >= 0)
    throw file_error(path, fmt::format("/labels holds {} for example {}, as float32: leave such examples out",
                                       result.const_data_ptr<float>()[place], place));
  return result;
}

std::string digest_with_shape(const at::Tensor& tensor) {
  if (!tensor.defined()) return "none";
  return fmt::format("{}[{}]{}", c10::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ","), digest(tensor));
}

}  // namespace

ArrayShard read_array_shard(const std::filesystem::path& path, Task task) {
  rehearse(path, [&path] { read_arrays(path); });
  const Arrays arrays = read_arrays(path);
  check_features(arrays.features, path);
  const std::int64_t num_examples = arrays.features.size(0);
  check_length(arrays.labels, "/labels", num_examples, path);
  ArrayShard shard{.features = arrays.features};
  if (task == Task::regression)
    shard.targets = numbers(arrays.labels, path);
  else
    shard.labels = classes(arrays.labels, path);
  if (!arrays.keys.defined()) return shard;
  check_length(arrays.keys, "/keys", num_examples, path);
  if (arrays.keys.is_floating_point())
    throw file_error(path, "/keys are not whole numbers: write keys.astype(\"int64\")");
  shard.keys = arrays.keys.to(at::kLong);
  return shard;
}

std::string digest(const ArrayShard& shard) {
  return digest(digest_with_shape(shard.features) + digest_with_shape(shard.labels) + digest_with_shape(shard.targets) +
                digest_with_shape(shard.keys));
}

}  // namespace fedmpi
