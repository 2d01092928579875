#include "made_up_examples.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/random.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

using Shape = std::vector<std::int64_t>;

constexpr std::int64_t most_features = 1 << 20;  // what is larger is no shape

// Shapes that the options may name, then common ones.
std::vector<Shape> likely_shapes(const Options& options) {
  std::vector<Shape> shapes;
  for (const auto& [name, value] : options.values()) {
    if (const auto* number = std::get_if<std::int64_t>(&value)) shapes.push_back({*number});
    if (const auto* numbers = std::get_if<std::vector<std::int64_t>>(&value)) shapes.push_back(*numbers);
  }
  std::erase_if(shapes, [](const Shape& shape) {
    std::int64_t size = shape.empty() ? 0 : 1;
    for (const std::int64_t length : shape) size = length < 1 ? 0 : std::min(size * length, most_features + 1);
    return size < 1 || size > most_features;
  });
  shapes.insert(shapes.end(), {{20}, {1}, {2}, {10}, {100}, {784}, {1, 28, 28}, {3, 32, 32}, {3, 224, 224}});
  return shapes;
}

Batch with_labels(const Model& model, Batch batch) {
  batch.labels = at::arange(num_trial_examples, at::kLong).remainder(model.num_labels());
  if (model.task() == Task::regression) batch.targets = at::linspace(-1.0, 1.0, num_trial_examples, at::kFloat);
  return batch;
}

at::Tensor features(const Shape& shape) {
  Shape all{num_trial_examples};
  all.insert(all.end(), shape.begin(), shape.end());
  at::Tensor features = at::empty(all, at::kFloat);
  RandomStream random(random_key(0, Purpose::synthetic));
  for (std::int64_t i = 0; i < features.numel(); ++i)
    features.mutable_data_ptr<float>()[i] = static_cast<float>(random.normal());
  return features;
}

// Texts of 3 to 10 tokens with small numbers.
Batch text() {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> offsets{0};
  for (std::int64_t example = 0; example < num_trial_examples; ++example) {
    for (std::int64_t i = 0; i < 3 + example; ++i)
      tokens.push_back(static_cast<std::int32_t>(1 + (example + 3 * i) % 11));
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
  }
  return {.tokens = at::tensor(tokens, at::kInt), .offsets = at::tensor(offsets, at::kLong)};
}

}  // namespace

std::vector<TrialExamples> made_up_examples(const Model& model, const Options& options) {
  std::vector<TrialExamples> all;
  for (const Shape& shape : likely_shapes(options))
    all.push_back({fmt::format("examples of {} features", fmt::join(shape, "x")),
                   with_labels(model, {.features = features(shape)})});
  all.push_back({"text", with_labels(model, text())});
  return all;
}

TrialExamples first_examples(const Job& job) {
  const Plugin plugin = load_plugin(Dataset::plugin_kind, job.dataset.name, plugin_search_path(job.plugin_directories),
                                    job.trust_plugins ? PluginTrust::any : PluginTrust::own);
  const auto dataset = make<Dataset>(plugin, plugin_options(job.dataset, plugin.options(), "data", job));
  std::vector<std::int64_t> rows(static_cast<std::size_t>(std::min(num_trial_examples, dataset->size(Split::train))));
  std::iota(rows.begin(), rows.end(), 0);
  return {fmt::format("the examples of the dataset '{}'", job.dataset.name), dataset->batch(Split::train, rows)};
}

Batch choose(const Batch& batch, std::span<const std::int64_t> rows) {
  const at::Tensor index = at::tensor(at::ArrayRef<std::int64_t>(rows.data(), rows.size()), at::kLong);
  Batch chosen{.labels = batch.labels.index_select(0, index)};
  if (batch.targets.defined()) chosen.targets = batch.targets.index_select(0, index);
  if (batch.features.defined()) {
    chosen.features = batch.features.index_select(0, index);
    return chosen;
  }
  std::vector<at::Tensor> texts;
  std::vector<std::int64_t> offsets{0};
  const auto from = batch.offsets.accessor<std::int64_t, 1>();
  for (const std::int64_t row : rows) {
    texts.push_back(batch.tokens.slice(0, from[row], from[row + 1]));
    offsets.push_back(offsets.back() + texts.back().numel());
  }
  chosen.tokens = at::cat(texts);
  chosen.offsets = at::tensor(offsets, at::kLong);
  return chosen;
}

Batch spoiled(const Batch& batch) {
  Batch spoiled = batch;
  if (batch.features.defined()) {
    spoiled.features = batch.features.flatten(1);
    spoiled.features = at::cat({spoiled.features, at::ones({spoiled.features.size(0), 1})}, 1);
  } else {
    spoiled.tokens = batch.tokens.clone();
    spoiled.tokens[0] = std::numeric_limits<std::int32_t>::max();
  }
  return spoiled;
}

}  // namespace fedmpi
