#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/model.hpp"
#include "partition.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

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
};

struct Score {
  double loss = 0.0;  // mean over examples
  double accuracy = 0.0;
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

// `results` in any order, one for each block.
FEDMPI_API Scores combine(std::span<const EvaluationBlock> blocks, std::vector<BlockResult> results);

}  // namespace fedmpi
