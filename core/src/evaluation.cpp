#include "evaluation.hpp"

#include <algorithm>
#include <tuple>

namespace fedmpi {

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

Scores combine(std::span<const EvaluationBlock> blocks, std::vector<BlockResult> results) {
  // Sums of doubles: only their order makes them the same on any number of ranks.
  std::sort(results.begin(), results.end(),
            [](const BlockResult& a, const BlockResult& b) { return a.block < b.block; });
  const auto score = [&](bool central) -> std::optional<Score> {
    BatchResult sums;
    for (const BlockResult& result : results) {
      if ((blocks[static_cast<std::size_t>(result.block)].client < 0) != central) continue;
      sums.loss_sum += result.sums.loss_sum;
      sums.num_correct += result.sums.num_correct;
      sums.num_examples += result.sums.num_examples;
    }
    if (sums.num_examples == 0) return std::nullopt;
    const auto examples = static_cast<double>(sums.num_examples);
    return Score{sums.loss_sum / examples, static_cast<double>(sums.num_correct) / examples};
  };
  return {.federated = score(false), .central = score(true)};
}

}  // namespace fedmpi
