// A round on one rank, by the classes the protocol is made of, with the shipped plugins through the real loader.
#include "client.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/experiment.hpp"
#include "host.hpp"
#include "partition.hpp"
#include "small_job.hpp"

#include <cmath>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

Experiment make_experiment(const std::vector<std::string>& settings = {}) {
  return small_experiment({"training.optimizer=sgd", "training.momentum=0.9"}, settings);
}

void ignore(std::int64_t) {}

const ClientStates& nothing_kept() {
  static const ClientStates states({}, {}, 0, 0);
  return states;
}

at::Tensor no_vectors() {
  return at::empty({0, 0}, at::kFloat);
}

TEST(Partition, IidPartsDifferByAtMostOneAndCoverEverything) {
  const Experiment experiment = make_experiment();
  const Partition partition = make_partition(experiment.job, *experiment.dataset);
  std::vector<int> seen(203);
  for (const auto& part : partition.train) {
    EXPECT_TRUE(part.size() == 50 || part.size() == 51);
    for (const std::int64_t example : part) ++seen[static_cast<std::size_t>(example)];
  }
  for (const int count : seen) EXPECT_EQ(count, 1);
  EXPECT_EQ(partition.central.size(), 40U);
}

TEST(Partition, TooFewExamplesIsOneSentence) {
  const Experiment experiment = make_experiment({"data.train_examples_per_client=51"});
  try {
    make_partition(experiment.job, *experiment.dataset);
    FAIL() << "204 examples were found in 203";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("need 204"), std::string::npos) << error.what();
  }
}

TEST(Round, FedAvgIsTheExampleWeightedMeanComputedByHand) {
  Experiment experiment = make_experiment();
  const Partition partition = make_partition(experiment.job, *experiment.dataset);
  const at::Tensor global = at::arange(experiment.model->layout().size(), at::kFloat).sin().mul(0.1);
  Host host(experiment, partition, nothing_kept());
  const std::vector<std::int64_t> clients{0, 1, 2, 3};
  host.begin_round(1, 4);
  host.fit(std::span(clients).first(3), global, no_vectors(), ignore);
  host.fit(std::span(clients).last(1), global, no_vectors(), ignore);
  const FitOutcome& outcome = host.outcome();
  ASSERT_EQ(outcome.records.size(), 4U);
  ASSERT_TRUE(outcome.failures.empty());

  at::Tensor by_hand = at::zeros({global.numel()}, at::kDouble);
  double examples = 0.0;
  ClientTrainer trainer(experiment.job, *experiment.model, *experiment.dataset, *experiment.strategy);
  for (const std::int64_t client : clients) {
    const auto& own = partition.train[static_cast<std::size_t>(client)];
    trainer.fit({.client = client, .round = 1, .examples = own, .global = global}, ignore);
    by_hand += trainer.updates()[0].to(at::kDouble) * static_cast<double>(own.size());
    examples += static_cast<double>(own.size());
  }
  EXPECT_EQ(examples, 203.0);
  by_hand = global.to(at::kDouble) + by_hand / examples;

  at::Tensor averaged = global.clone();
  experiment.strategy->aggregate(averaged, no_vectors(), host.sum().mean(203.0).unsqueeze(0),
                                 {.round = 1, .num_clients = 4, .records = outcome.records});
  EXPECT_GT((averaged - global).abs().max().item<float>(), 1e-2);
  EXPECT_LT((averaged.to(at::kDouble) - by_hand).abs().max().item<double>(), 1e-7);
}

TEST(Round, AFitDependsOnNeitherOrderNorThreadsNorWhoCameBefore) {
  const Experiment experiment = make_experiment();
  const Partition partition = make_partition(experiment.job, *experiment.dataset);
  const at::Tensor global = at::zeros({experiment.model->layout().size()});
  ClientTrainer trainer(experiment.job, *experiment.model, *experiment.dataset, *experiment.strategy);
  at::set_num_threads(1);
  trainer.fit({.client = 2, .round = 5, .examples = partition.train[2], .global = global}, ignore);
  const at::Tensor alone = trainer.updates()[0].clone();
  at::set_num_threads(2);
  trainer.fit({.client = 1, .round = 5, .examples = partition.train[1], .global = global}, ignore);
  trainer.fit({.client = 2, .round = 5, .examples = partition.train[2], .global = global}, ignore);
  EXPECT_TRUE(at::equal(alone, trainer.updates()[0]));
  trainer.fit({.client = 2, .round = 6, .examples = partition.train[2], .global = global}, ignore);
  EXPECT_FALSE(at::equal(alone, trainer.updates()[0]));
}

// Adds to what lies between the tensors too.
class Shifting final : public Strategy {
 public:
  void adjust_gradients(at::Tensor gradients, const ClientFit&) const override { gradients.add_(0.5); }
};

TEST(Round, WhatAStrategyLeavesBetweenTheTensorsReachesNoOtherClient) {
  const Experiment experiment = make_experiment({"training.max_gradient_norm=1"});
  const Partition partition = make_partition(experiment.job, *experiment.dataset);
  const Layout& layout = experiment.model->layout();
  ASSERT_LT(layout.offset(0) + layout.num_elements(0), layout.offset(1)) << "nothing lies between them";
  const at::Tensor global = at::zeros({layout.size()});
  const Shifting strategy;
  ClientTrainer trainer(experiment.job, *experiment.model, *experiment.dataset, strategy);
  trainer.fit({.client = 2, .round = 5, .examples = partition.train[2], .global = global}, ignore);
  const at::Tensor alone = trainer.updates()[0].clone();
  trainer.fit({.client = 1, .round = 5, .examples = partition.train[1], .global = global}, ignore);
  trainer.fit({.client = 2, .round = 5, .examples = partition.train[2], .global = global}, ignore);
  EXPECT_TRUE(at::equal(alone, trainer.updates()[0]));
}

TEST(Round, AFailingClientLeavesNoTrace) {
  Experiment experiment = make_experiment();
  const Partition partition = make_partition(experiment.job, *experiment.dataset);
  const at::Tensor global = at::zeros({experiment.model->layout().size()});
  Host host(experiment, partition, nothing_kept());
  host.begin_round(1, 2);
  host.fit(std::vector<std::int64_t>{0}, global, no_vectors(), ignore);
  const at::Tensor only_first = host.sum().sum().clone();

  Experiment broken = make_experiment();
  Partition with_gap = partition;
  with_gap.train[1] = {9999};  // no such example
  Host other(broken, with_gap, nothing_kept());
  other.begin_round(1, 2);
  other.fit(std::vector<std::int64_t>{1, 0}, global, no_vectors(), ignore);
  const FitOutcome& outcome = other.outcome();
  ASSERT_EQ(outcome.failures.size(), 1U);
  EXPECT_EQ(outcome.failures[0].client, 1);
  EXPECT_TRUE(at::equal(only_first, other.sum().sum()));
}

TEST(Round, AnExplodingLossIsAFailure) {
  Experiment experiment = make_experiment({"training.learning_rate=1e38", "training.local_epochs=3"});
  const Partition partition = make_partition(experiment.job, *experiment.dataset);
  Host host(experiment, partition, nothing_kept());
  const at::Tensor global = at::zeros({experiment.model->layout().size()});
  host.begin_round(1, 1);
  host.fit(std::vector<std::int64_t>{0}, global, no_vectors(), ignore);
  const FitOutcome& outcome = host.outcome();
  ASSERT_EQ(outcome.failures.size(), 1U);
  EXPECT_NE(outcome.failures[0].message.find("the loss is not finite"), std::string::npos);
}

}  // namespace
}  // namespace fedmpi
