#include "evaluation.hpp"

#include "fedmpi/error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

// One that is outside [least, limit) is the error of a plugin.
void check_labels(std::span<const std::int64_t> labels, std::int64_t least, std::int64_t limit, const char* whose) {
  for (const std::int64_t label : labels) {
    if (label >= least && label < limit) continue;
    throw Error(
        fmt::format("the {} gives an example the label {}, but says that its labels are 0 to {}: its plugin is "
                    "wrong",
                    whose, label, limit - 1));
  }
}

std::span<const std::int64_t> integers(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(tensor.numel())};
}

void count_labels(const at::Tensor& labels, const at::Tensor& predictions, bool central, LabelCounts& counts) {
  const auto label = integers(labels), predicted = integers(predictions);
  for (std::size_t i = 0; i < predicted.size(); ++i) counts.add(central, label[i], predicted[i]);
}

double absolute_error_sum(const Batch& batch, const at::Tensor& predictions) {
  const auto* target = batch.targets.const_data_ptr<float>();
  const auto* predicted = predictions.const_data_ptr<float>();
  double sum = 0.0;
  for (std::int64_t i = 0; i < predictions.numel(); ++i)
    sum += std::abs(static_cast<double>(predicted[i]) - static_cast<double>(target[i]));
  return sum;
}

void score_labels(const LabelCounts& counts, bool central, Score& score) {
  if (counts.unknown.item<std::int64_t>() > 0) return;
  const std::int64_t part = central ? 1 : 0;
  const at::Tensor rows[] = {counts.of_label[part], counts.taken_for[part], counts.right[part]};
  const auto of_label = integers(rows[0]), taken_for = integers(rows[1]), right = integers(rows[2]);
  std::int64_t num_examples = 0, num_right = 0;
  double f1_sum = 0.0;
  for (std::size_t i = 0; i < right.size(); ++i) {
    num_examples += of_label[i];
    num_right += right[i];
    if (right[i] > 0) f1_sum += 2.0 * static_cast<double>(right[i]) / static_cast<double>(of_label[i] + taken_for[i]);
  }
  score.accuracy = static_cast<double>(num_right) / static_cast<double>(num_examples);
  score.f1 = f1_sum / static_cast<double>(right.size());
  if (!central) return;
  for (std::int64_t label = 0; label < counts.confusion.size(0); ++label) {
    const at::Tensor row = counts.confusion[label];
    score.confusion.emplace_back(integers(row).begin(), integers(row).end());
  }
}

}  // namespace

at::Tensor no_predictions(std::int64_t size, Task task) {
  return task == Task::regression ? at::full({size}, std::numeric_limits<float>::quiet_NaN(), at::kFloat)
                                  : at::full({size}, -1, at::kLong);
}

void append_blocks(std::vector<EvaluationBlock>& blocks, const Dataset& dataset, std::vector<std::int64_t> examples,
                   std::int64_t batch_size, std::int64_t client) {
  const auto lengths = dataset.lengths(Split::test);
  const auto length = [&](std::int64_t example) { return lengths[static_cast<std::size_t>(example)]; };
  std::sort(examples.begin(), examples.end(),
            [&](std::int64_t a, std::int64_t b) { return std::tuple(length(a), a) < std::tuple(length(b), b); });
  for (std::size_t begin = 0; begin < examples.size(); begin += static_cast<std::size_t>(batch_size)) {
    const std::size_t end = std::min(examples.size(), begin + static_cast<std::size_t>(batch_size));
    EvaluationBlock block{.client = client};
    for (std::size_t i = begin; i < end; ++i) {
      block.examples.push_back(examples[i]);
      block.cost += length(examples[i]);
    }
    blocks.push_back(std::move(block));
  }
}

std::vector<EvaluationBlock> evaluation_blocks(const Job& job, const Dataset& dataset, const Partition& partition,
                                               std::span<const std::int64_t> cohort) {
  std::vector<EvaluationBlock> blocks;
  if (!partition.test.empty()) {
    for (const std::int64_t client : cohort)
      append_blocks(blocks, dataset, partition.test[static_cast<std::size_t>(client)], job.evaluation.batch_size,
                    client);
  }
  append_blocks(blocks, dataset, partition.central, job.evaluation.batch_size, -1);
  return blocks;
}

EvaluationResults evaluate_blocks(Model& model, const Dataset& dataset, std::span<const EvaluationBlock> blocks,
                                  std::span<const std::size_t> chosen, const std::function<void(std::int64_t)>& load) {
  EvaluationResults results{.blocks = {},
                            .counts = LabelCounts({dataset.task(), dataset.num_labels(), model.num_labels()})};
  // In the order of the blocks those of a client follow one another: its model is loaded once.
  std::vector<std::size_t> order(chosen.begin(), chosen.end());
  std::ranges::sort(order);
  for (const std::size_t number : order) {
    const EvaluationBlock& block = blocks[number];
    load(block.client);
    const Batch batch = dataset.batch(Split::test, block.examples);
    const at::Tensor predictions = no_predictions(std::ssize(block.examples), dataset.task());
    BlockResult result{static_cast<std::int64_t>(number), model.evaluate(batch, predictions)};
    if (dataset.task() == Task::regression) {
      result.absolute_error_sum = absolute_error_sum(batch, predictions);
    } else {
      check_labels(integers(batch.labels), 0, dataset.num_labels(), "dataset");
      check_labels(integers(predictions), -1, model.num_labels(), "model");
      count_labels(batch.labels, predictions, block.client < 0, results.counts);
    }
    results.blocks.push_back(result);
  }
  return results;
}

Scores combine(std::span<const EvaluationBlock> blocks, EvaluationResults results) {
  // Sums of doubles: only their order makes them the same on any number of ranks.
  std::sort(results.blocks.begin(), results.blocks.end(),
            [](const BlockResult& a, const BlockResult& b) { return a.block < b.block; });
  const auto part = [&](bool central) -> std::optional<Score> {
    double loss_sum = 0.0, error_sum = 0.0;
    std::int64_t num_examples = 0;
    for (const BlockResult& result : results.blocks) {
      if ((blocks[static_cast<std::size_t>(result.block)].client < 0) != central) continue;
      loss_sum += result.sums.loss_sum;
      error_sum += result.absolute_error_sum;
      num_examples += result.sums.num_examples;
    }
    if (num_examples == 0) return std::nullopt;
    const auto examples = static_cast<double>(num_examples);
    Score score{.loss = loss_sum / examples};
    if (results.counts.range.task == Task::regression)
      score.mean_absolute_error = std::isnan(error_sum) ? std::nullopt : std::optional(error_sum / examples);
    else
      score_labels(results.counts, central, score);
    return score;
  };
  return {.federated = part(false), .central = part(true)};
}

void record(const Scores& scores, RoundMetrics& metrics) {
  if (const auto& score = scores.federated) {
    metrics.evaluate_loss = score->loss;
    metrics.evaluate_accuracy = score->accuracy;
    metrics.evaluate_f1 = score->f1;
    metrics.evaluate_mean_absolute_error = score->mean_absolute_error;
  }
  if (const auto& score = scores.central) {
    metrics.central_loss = score->loss;
    metrics.central_accuracy = score->accuracy;
    metrics.central_f1 = score->f1;
    metrics.central_mean_absolute_error = score->mean_absolute_error;
    metrics.central_confusion = score->confusion;
  }
}

}  // namespace fedmpi
