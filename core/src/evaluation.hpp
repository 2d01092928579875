#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/metrics.hpp"
#include "fedmpi/model.hpp"
#include "label_counts.hpp"
#include "partition.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// A batch of test examples: the unit that is spread over ranks. Blocks are cut the same way whatever the number of
// ranks, so that the sums over them are the same too.
struct EvaluationBlock {
  std::int64_t client = -1;  // whose, -1: central
  std::vector<std::int64_t> examples;
  std::int64_t cost = 0;
};

// Numbers of one block, on their way to every rank.
struct BlockResult {
  std::int64_t block = 0;
  BatchResult sums;
  double absolute_error_sum = 0.0;  // regression
};

// What evaluating some blocks gives, on one rank or together on all.
struct EvaluationResults {
  std::vector<BlockResult> blocks;  // in any order
  LabelCounts counts{LabelRange{}};
};

struct Score {
  double loss = 0.0;                          // mean over examples
  std::optional<double> accuracy, f1;         // classification; see RoundMetrics
  std::optional<double> mean_absolute_error;  // regression
  Confusion confusion;                        // central, classification with few labels; see RoundMetrics
};

struct Scores {
  std::optional<Score> federated;  // over the cohort's examples: each client counts by its number of them
  std::optional<Score> central;
};

// Cuts `examples` of the test split, sorted by length, into blocks of batch_size, appended to `blocks`. `client`: see
// EvaluationBlock.
FEDMPI_API void append_blocks(std::vector<EvaluationBlock>& blocks, const Dataset& dataset,
                              std::vector<std::int64_t> examples, std::int64_t batch_size, std::int64_t client);

// All that is evaluated after a round: the own examples of each client of `cohort`, then the central ones.
FEDMPI_API std::vector<EvaluationBlock> evaluation_blocks(const Job& job, const Dataset& dataset,
                                                          const Partition& partition,
                                                          std::span<const std::int64_t> cohort);

// The blocks that `chosen` names. `load` is called with a block's client before its model is needed; it may well be the
// one before. Error when the model predicts a label that it does not have.
FEDMPI_API EvaluationResults evaluate_blocks(Model& model, const Dataset& dataset,
                                             std::span<const EvaluationBlock> blocks,
                                             std::span<const std::size_t> chosen,
                                             const std::function<void(std::int64_t client)>& load);

// `results` of every block once.
FEDMPI_API Scores combine(std::span<const EvaluationBlock> blocks, EvaluationResults results);

// Room for what a model predicts of so many examples, with what no model predicts: those that stay know their loss
// alone.
FEDMPI_API at::Tensor no_predictions(std::int64_t size, Task task);

// Writes the scores into a round's metrics.
FEDMPI_API void record(const Scores& scores, RoundMetrics& metrics);

}  // namespace fedmpi
