// A whole run on the test's ranks, with the shipped plugins.
#include "fedmpi/federation.hpp"

#include "client.hpp"
#include "fedmpi/checkpoint.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/log.hpp"
#include "mpi_tests.hpp"
#include "partition.hpp"
#include "temporary_directory.hpp"

#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

const std::string job_text = R"(
[run]
name = "test"
rounds = 1
threads = 1
plugins = [")" FEDMPI_BUILT_PLUGINS R"("]
[federation]
clients = 5
[model]
name = "logistic"
[data]
name = "synthetic"
train_examples = 203
test_examples = 40
[training]
batch_size = 16
learning_rate = 0.05
)";

// The server's directory on every rank.
struct SharedDirectory {
  TemporaryDirectory own;
  std::string path = own.path().string();
  SharedDirectory() { test_communicator().broadcast(path); }
};

// One run writes down the parameters before and after the round; the same clients, one after another on one rank, give
// the updates whose mean, weighted by examples and taken in double, must lie between them.
TEST(Federation, ARoundOfFedAvgIsTheWeightedMeanOfTheClientsUpdates) {
  Communicator& world = test_communicator();
  const SharedDirectory directory;
  const std::filesystem::path output = std::filesystem::path(directory.path) / "run";
  agree(world, [&] {
    if (world.is_server()) write_bytes(directory.path + "/job.toml", job_text);
  });
  run_federation(world, {.job = directory.path + "/job.toml", .output = output});
  close_log();
  if (!world.is_server()) return;

  const at::Tensor before = load_checkpoint(checkpoint_path(output / "checkpoints", 0)).parameters;
  const at::Tensor after = load_checkpoint(checkpoint_path(output / "checkpoints", 1)).parameters;
  Experiment experiment = load_experiment(parse_job(job_text, "job.toml", {}));
  const Partition partition = make_partition(experiment.job, *experiment.dataset);
  ClientTrainer trainer(experiment.job, *experiment.model, *experiment.dataset, *experiment.strategy);
  at::Tensor sum = at::zeros({before.numel()}, at::kDouble);
  for (std::int64_t client = 0; client < 5; ++client) {
    const auto& examples = partition.train[static_cast<std::size_t>(client)];
    trainer.fit({.client = client, .round = 1, .examples = examples, .global = before}, [](std::int64_t) {});
    sum += trainer.updates()[0].to(at::kDouble) * static_cast<double>(examples.size());
  }
  const at::Tensor by_hand = before.to(at::kDouble) + sum / 203.0;
  EXPECT_GT((after - before).abs().max().item<float>(), 1e-2);
  EXPECT_LT((after.to(at::kDouble) - by_hand).abs().max().item<double>(), 1e-7);
}

}  // namespace
}  // namespace fedmpi
