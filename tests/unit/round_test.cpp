// A round on one rank, by the classes the protocol is made of, with the shipped plugins through the real loader.
#include "client.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/experiment.hpp"
#include "host.hpp"
#include "partition.hpp"
#include "small_job.hpp"

#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <utility>
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

struct ThreeThreads {
  ThreeThreads() { at::set_num_threads(3); }
  ~ThreeThreads() { at::set_num_threads(1); }
};

std::vector<FitRecord> by_client(const Host& host) {
  std::vector<FitRecord> records = host.outcome().records;
  std::ranges::sort(records, {}, &FitRecord::client);
  return records;
}

TEST(Round, ClientsThatAreFittedAtOnceAreFittedAsOneAfterAnother) {
  const std::vector<std::int64_t> clients{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (const char* model : {"logistic", "mlp"}) {
    Experiment experiment = make_experiment({"federation.clients=10", std::string("model.name=") + model,
                                             "training.local_epochs=2", "training.max_gradient_norm=1"});
    const Partition partition = make_partition(experiment.job, *experiment.dataset);
    at::Tensor global = at::zeros({experiment.model->layout().size()});
    experiment.model->initialize(global, random_key(1, Purpose::initialise));
    std::int64_t tokens[2] = {};
    at::set_num_threads(1);
    Host one(experiment, partition, nothing_kept());
    EXPECT_EQ(one.at_once(), 1U);
    one.begin_round(3, 10);
    one.fit(clients, global, no_vectors(), [&](std::int64_t of_step) { tokens[0] += of_step; });

    const ThreeThreads three_threads;
    const std::thread::id main = std::this_thread::get_id();
    Host several(experiment, partition, nothing_kept());
    EXPECT_EQ(several.at_once(), 3U);
    several.begin_round(3, 10);
    several.fit(clients, global, no_vectors(), [&](std::int64_t of_steps) {
      EXPECT_EQ(std::this_thread::get_id(), main);
      tokens[1] += of_steps;
    });
    EXPECT_EQ(at::get_num_threads(), 3);
    EXPECT_EQ(tokens[0], 2 * 203);
    EXPECT_EQ(tokens[1], 2 * 203);
    EXPECT_GT(one.sum().sum().abs().max().item<std::int64_t>(), 0);
    EXPECT_TRUE(at::equal(one.sum().sum(), several.sum().sum())) << model;
    const auto expected = by_client(one), records = by_client(several);
    ASSERT_EQ(records.size(), 10U);
    for (std::size_t i = 0; i < records.size(); ++i) {
      EXPECT_EQ(records[i].client, expected[i].client);
      EXPECT_EQ(records[i].num_steps, expected[i].num_steps);
      EXPECT_EQ(records[i].loss, expected[i].loss);
      EXPECT_GT(records[i].seconds, 0.0);
    }
  }
}

TEST(Round, BlocksThatAreEvaluatedAtOnceGiveTheSame) {
  Experiment experiment = make_experiment({"model.name=mlp", "evaluation.batch_size=3"});
  const Partition partition = make_partition(experiment.job, *experiment.dataset);
  at::Tensor global = at::zeros({experiment.model->layout().size()});
  experiment.model->initialize(global, random_key(1, Purpose::initialise));
  const auto blocks =
      evaluation_blocks(experiment.job, *experiment.dataset, partition, std::vector<std::int64_t>{0, 1});
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < blocks.size(); i += 2) chosen.push_back(i);
  ASSERT_GT(chosen.size(), 3U);
  const auto evaluate = [&] {
    Host host(experiment, partition, nothing_kept());
    EvaluationResults results = host.evaluate(blocks, chosen, global);
    std::ranges::sort(results.blocks, {}, &BlockResult::block);
    return results;
  };
  at::set_num_threads(1);
  const EvaluationResults one = evaluate();
  const ThreeThreads three_threads;
  const EvaluationResults several = evaluate();
  ASSERT_EQ(one.blocks.size(), chosen.size());
  ASSERT_EQ(several.blocks.size(), chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    EXPECT_EQ(several.blocks[i].block, one.blocks[i].block);
    EXPECT_EQ(several.blocks[i].sums.loss_sum, one.blocks[i].sums.loss_sum);
  }
  EXPECT_GT(one.counts.all.sum().item<std::int64_t>(), 0);
  EXPECT_TRUE(at::equal(several.counts.all, one.counts.all));
}

TEST(Round, OfClientsThatAreFittedAtOnceOneMayFail) {
  const ThreeThreads three_threads;
  Experiment experiment = make_experiment();
  Partition partition = make_partition(experiment.job, *experiment.dataset);
  const at::Tensor global = at::zeros({experiment.model->layout().size()});
  const std::vector<std::int64_t> others{0, 2, 3}, all{0, 1, 2, 3};
  Host without(experiment, partition, nothing_kept());
  without.begin_round(1, 4);
  without.fit(others, global, no_vectors(), ignore);
  partition.train[1].push_back(9999);  // no such example
  Host host(experiment, partition, nothing_kept());
  host.begin_round(1, 4);
  host.fit(all, global, no_vectors(), ignore);
  ASSERT_EQ(host.outcome().failures.size(), 1U);
  EXPECT_EQ(host.outcome().failures[0].client, 1);
  EXPECT_EQ(host.outcome().records.size(), 3U);
  EXPECT_TRUE(at::equal(host.sum().sum(), without.sum().sum()));
}

// What the caller throws is for all that are at hand: their failure, or, where it is no exception of the standard, his.
TEST(Round, ClientsThatAreFittedAtOnceEndTogether) {
  const ThreeThreads three_threads;
  Experiment experiment = make_experiment({"federation.clients=3", "training.local_epochs=100000"});
  const Partition partition = make_partition(experiment.job, *experiment.dataset);
  const at::Tensor global = at::zeros({experiment.model->layout().size()});
  const std::vector<std::int64_t> clients{0, 1, 2};
  struct Enough {};
  Host host(experiment, partition, nothing_kept());
  host.begin_round(1, 3);
  EXPECT_THROW(host.fit(clients, global, no_vectors(), [](std::int64_t) { throw Enough{}; }), Enough);
  EXPECT_TRUE(host.outcome().failures.empty());
  host.fit(clients, global, no_vectors(), [](std::int64_t) { throw Error("too late"); });
  ASSERT_EQ(host.outcome().failures.size(), 3U);
  for (const ClientFailure& failure : host.outcome().failures) EXPECT_EQ(failure.message, "too late");
  EXPECT_TRUE(host.outcome().records.empty());
  EXPECT_EQ(host.sum().sum().count_nonzero().item<std::int64_t>(), 0);
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

// Notes what its personal step is told of the global parameters.
class Curious final : public Strategy {
 public:
  Exchange exchange() const override {
    return {.num_client_vectors = 1, .initial_loss = true, .global_gradient = true, .personal_model = true};
  }
  void adjust_personal_gradients(at::Tensor gradients, const ClientFit& fit) const override {
    knows_loss = fit.record.initial_loss > 0.0;
    knows_gradient =
        fit.global_gradient.sizes() == fit.parameters.sizes() && fit.global_gradient.norm().item<float>() > 0;
    gradients.zero_();
  }
  mutable bool knows_loss = false, knows_gradient = false;
};

TEST(Round, APersonalStepKnowsWhatIsAskedOfTheGlobalParameters) {
  const Experiment experiment = make_experiment();
  const Partition partition = make_partition(experiment.job, *experiment.dataset);
  const Layout& layout = experiment.model->layout();
  const Curious strategy;
  ClientTrainer trainer(experiment.job, *experiment.model, *experiment.dataset, strategy);
  const at::Tensor global = at::full({layout.size()}, 0.1F), kept = at::zeros({layout.shared_parameters_size()});
  trainer.fit({.client = 1, .round = 1, .examples = partition.train[1], .global = global, .kept = kept}, ignore);
  EXPECT_TRUE(strategy.knows_loss);
  EXPECT_TRUE(strategy.knows_gradient);
  EXPECT_TRUE(at::equal(kept, global.narrow(0, 0, kept.numel()))) << "the personal model, whose gradients were zero";
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

// One parameter, and a statistic that no sum can take after as many steps.
class Erupting final : public Model {
 public:
  explicit Erupting(int eruptions) : eruptions_{eruptions} {}
  const Layout& layout() const override { return layout_; }
  void set_layout(Layout layout) override { layout_ = std::move(layout); }
  std::int64_t num_labels() const override { return 2; }
  void check(const Batch&) const override {}
  void initialize(at::Tensor, RandomKey) override {}
  void bind(at::Tensor values, at::Tensor gradients, Precision) override {
    gradients_ = std::move(gradients);
    statistic_ = layout_.view(values, 1);
  }
  BatchResult fit(const Batch& batch, RandomKey) override {
    gradients_.zero_();
    layout_.gradient_view(gradients_, 0).copy_(batch.features.sum());
    statistic_.fill_(eruptions_-- > 0 ? 1e30 : 1.0);
    return {.loss_sum = 1.0, .num_examples = batch.labels.numel()};
  }
  BatchResult evaluate(const Batch&, at::Tensor) override { return {}; }

 private:
  Layout layout_{{{.name = "weight", .shape = {1}}, {.name = "mean", .shape = {1}, .role = TensorRole::statistic}}};
  at::Tensor gradients_, statistic_;
  int eruptions_;
};

TEST(Round, AFailedClientsUpdateIsNoneOfThoseThatAreCompared) {
  const auto spooled = [](int eruptions, const std::vector<std::int64_t>& clients) {
    Experiment experiment = make_experiment({"strategy.name=fedmedian"});
    experiment.model = std::make_unique<Erupting>(eruptions);
    const Partition partition = make_partition(experiment.job, *experiment.dataset);
    Host host(experiment, partition, nothing_kept());
    host.begin_round(1, 2);
    host.fit(clients, at::zeros({experiment.model->layout().size()}), no_vectors(), ignore);
    EXPECT_EQ(host.outcome().records.size(), 1U);
    EXPECT_EQ(host.spool().num_updates(), 1);
    float update = 0.0F;
    host.spool().read(0, 0, 1, &update);
    return update;
  };
  const float alone = spooled(0, {1});
  EXPECT_NE(alone, 0.0F);
  EXPECT_EQ(spooled(4, {0, 1}), alone);  // the first client takes four steps
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
