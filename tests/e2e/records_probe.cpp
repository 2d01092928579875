#include "fedmpi/array_shard.hpp"
#include "fedmpi/checkpoint.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/metrics.hpp"
#include "fedmpi/partial_round.hpp"
#include "fedmpi/shard.hpp"

#include <cstdio>
#include <string>

#include <ATen/ATen.h>

// Gives Python tests a way to the files of a run: `records_probe WHAT PATH`, exit 2 and one line for a FileError.

namespace fedmpi {
namespace {

void save_small_checkpoint(const std::string& path) {
  Checkpoint checkpoint;
  checkpoint.round = 3;
  checkpoint.layout = Layout({{"weight", {2, 3}, TensorRole::shared, 0.5}});
  checkpoint.parameters = at::arange(checkpoint.layout.size(), at::kFloat);
  checkpoint.strategy_state = {{"momentum", at::arange(4, at::kDouble)}};
  checkpoint.job = "[run]\n";
  save_checkpoint(path, checkpoint);
}

void write_small_shard(const std::string& path) {
  Shard shard;
  shard.tokens = at::tensor({101, 7, 102, 101, 102}, at::kInt);
  shard.offsets = at::tensor({0, 3, 5}, at::kLong);
  shard.labels = at::tensor({1, 0}, at::kLong);
  shard.vocabulary_size = 30522;
  shard.num_labels = 2;
  shard.provenance = {{"source", "naïve"}};
  write_shard(path, shard);
}

void save_small_partial_round(const std::string& path) {
  PartialRound partial{.round = 2, .origin = "feed", .records = {}, .sum = at::arange(5, at::kLong)};
  for (const std::int64_t client : {4, 0})
    partial.records.push_back({.client = client, .num_examples = 10 + client, .num_tokens = 100, .loss = 0.25});
  save_partial_round(path, partial);
}

void write_two_rounds(const std::string& directory) {
  MetricsWriter writer(directory, {});
  RoundMetrics metrics;
  metrics.central_accuracy = 0.5;
  metrics.seconds.total = 2.0;
  writer.write(metrics);
  metrics.round = 300;
  metrics.fit_loss = 0.625;
  metrics.seconds.fit = 1.5;
  metrics.tokens_per_second = 1e6;
  writer.write(metrics);
}

int run(const std::string& what, const std::string& path) {
  if (what == "read-shard") {
    const Shard shard = read_shard(path);
    std::printf("%lld tokens\n", static_cast<long long>(shard.tokens.sum().item<std::int64_t>()));
  } else if (what == "read-arrays") {
    const ArrayShard shard = read_array_shard(path, Task::classification);
    std::printf("%lld examples\n", static_cast<long long>(shard.labels.numel()));
  } else if (what == "write-shard") {
    write_small_shard(path);
  } else if (what == "save-checkpoint") {
    save_small_checkpoint(path);
  } else if (what == "save-partial-round") {
    save_small_partial_round(path);
  } else if (what == "write-metrics") {
    write_two_rounds(path);
  } else {
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace fedmpi

int main(int argc, char** argv) {
  if (argc != 3) return 1;
  try {
    return fedmpi::run(argv[1], argv[2]);
  } catch (const fedmpi::FileError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
