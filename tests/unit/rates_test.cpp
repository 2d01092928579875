// What is measured before a run, and the work it is multiplied with, with the shipped plugins.
#include "rates.hpp"

#include "check_report.hpp"
#include "fedmpi/checkpoint.hpp"
#include "fedmpi/error.hpp"
#include "small_job.hpp"
#include "temporary_directory.hpp"

#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

struct Prepared {
  Experiment experiment;
  Partition partition;
  FederatedState state;

  explicit Prepared(const std::vector<std::string>& settings = {}, const std::filesystem::path& scratch = {})
      : experiment{small_experiment(
            {"run.rounds=4", "training.local_epochs=2", "evaluation.every=2", "evaluation.batch_size=8"}, settings)},
        partition{make_partition(experiment.job, *experiment.dataset)},
        state{experiment, scratch, scratch} {
    state.initialize();
  }
};

TEST(Rates, AreMeasuredAndLeaveTheStateAsItWas) {
  at::set_num_threads(1);
  Prepared prepared;
  prepared.state.global.fill_(0.5);
  RateMeasurement measurement(prepared.experiment, prepared.partition, prepared.state);
  EXPECT_FALSE(measurement.has_fitted());
  const auto blocks = evaluation_blocks(prepared.experiment.job, *prepared.experiment.dataset, prepared.partition,
                                        std::vector<std::int64_t>{0, 1});
  measurement.evaluate(blocks, std::vector<std::size_t>{0, 1, 2});
  std::int64_t tokens = 0;
  measurement.fit(std::vector<std::int64_t>{0, 3}, 1, [&](std::int64_t amount) { tokens += amount; });
  EXPECT_TRUE(measurement.has_fitted());
  EXPECT_GT(tokens, 80);
  EXPECT_FALSE(measurement.is_cut_short());
  const Rates& rates = measurement.rates();
  EXPECT_GT(rates.block.at(8), 0.0);
  EXPECT_GT(rates.step.at(16), 0.0);
  EXPECT_LT(rates.step.at(16), 1.0);
  EXPECT_EQ(rates.client.per_unit, 0.0);
  EXPECT_TRUE(at::equal(prepared.state.global, at::full_like(prepared.state.global, 0.5)));
  EXPECT_EQ(measurement.host().outcome().records.size(), 1U);  // of the newest fit
  EXPECT_EQ(rates.at_once, 1.0);
}

TEST(Rates, ClientsThatAreFittedAtOnceAreMeasuredTogetherToo) {
  at::set_num_threads(2);
  Prepared prepared;
  RateMeasurement measurement(prepared.experiment, prepared.partition, prepared.state);
  measurement.fit(std::vector<std::int64_t>{0, 3, 1}, 1, [](std::int64_t) {});
  const auto blocks = evaluation_blocks(prepared.experiment.job, *prepared.experiment.dataset, prepared.partition,
                                        std::vector<std::int64_t>{0, 1});
  measurement.evaluate(blocks, std::vector<std::size_t>{0, 1, 2});
  const Rates& rates = measurement.rates();
  EXPECT_EQ(rates.at_once, 2.0);
  EXPECT_GE(rates.fit_speedup, 1.0);
  EXPECT_GE(rates.evaluate_speedup, 1.0);
  EXPECT_LE(rates.fit_speedup, 2.0);
  EXPECT_LE(rates.evaluate_speedup, 2.0);
  EXPECT_GE(measurement.host().outcome().records.size(), 2U);
  at::set_num_threads(1);
}

TEST(Rates, WithoutTimeForSamplesTheLargestPieceCounts) {
  Prepared prepared;
  RateMeasurement measurement(prepared.experiment, prepared.partition, prepared.state,
                              {.most_evaluate_seconds = 0.0, .most_fit_seconds = 0.0});
  const auto blocks = evaluation_blocks(prepared.experiment.job, *prepared.experiment.dataset, prepared.partition,
                                        std::vector<std::int64_t>{0, 1});
  measurement.evaluate(blocks, std::vector<std::size_t>{0, 1, 2});
  EXPECT_TRUE(measurement.is_cut_short());
  EXPECT_GT(measurement.rates().block.at(8), 0.0);
  std::int64_t tokens = 0;
  measurement.fit(std::vector<std::int64_t>{0, 3}, 1, [&](std::int64_t amount) { tokens += amount; });
  EXPECT_EQ(tokens, 0) << "the longest batch is not told of";
  EXPECT_TRUE(measurement.has_fitted());
  EXPECT_TRUE(measurement.is_cut_short());
  EXPECT_GT(measurement.rates().step.at(16), 0.0);
}

TEST(Rates, NothingIsMeasuredOfNothing) {
  Prepared prepared;
  RateMeasurement measurement(prepared.experiment, prepared.partition, prepared.state);
  measurement.evaluate({}, {});
  measurement.fit({}, 1, [](std::int64_t) {});
  EXPECT_FALSE(measurement.has_fitted());
  EXPECT_EQ(measurement.rates().step.at(100), 0.0);
}

TEST(Rates, AClientThatCannotBeFittedIsNamed) {
  Prepared prepared({"training.learning_rate=1e38", "training.optimizer=sgd"});
  RateMeasurement measurement(prepared.experiment, prepared.partition, prepared.state);
  try {
    measurement.fit(std::vector<std::int64_t>{1}, 1, [](std::int64_t) {});
    FAIL() << "a loss that is not finite was not noticed";
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("failed when its first examples were tried: the loss is not finite"),
              std::string::npos)
        << error.what();
  }
}

TEST(Rates, TheServerHalfIsTriedWithWhatACohortWouldSend) {
  const TemporaryDirectory scratch;
  Prepared prepared({"strategy.name=scaffold", "training.optimizer=sgd"}, scratch.path());
  RateMeasurement measurement(prepared.experiment, prepared.partition, prepared.state);
  measurement.fit(std::vector<std::int64_t>{2}, 1, [](std::int64_t) {});
  const std::vector<std::int64_t> cohort{0, 1, 2, 3};
  const auto records =
      likely_records(prepared.experiment, prepared.partition, cohort, measurement.host().outcome().records[0]);
  ASSERT_EQ(records.size(), 4U);
  EXPECT_EQ(records[0].num_examples, 51);
  EXPECT_EQ(records[3].num_examples, 50);
  EXPECT_EQ(records[3].client, 3);
  const at::Tensor before = prepared.state.global.clone();
  const ServerTrial trial = measurement.serve(prepared.state, records, 1, scratch.path());
  EXPECT_FALSE(at::equal(before, prepared.state.global));
  EXPECT_GT(trial.seconds.advance, 0.0);
  EXPECT_GT(trial.seconds.save, 0.0);
  EXPECT_GT(trial.checkpoint_bytes, 42 * 4);
  EXPECT_TRUE(list_checkpoints(scratch.path()).empty());
}

TEST(Rates, ASliceOfAllUpdatesIsTried) {
  Prepared prepared({"strategy.name=krum"});
  RateMeasurement measurement(prepared.experiment, prepared.partition, prepared.state);
  const at::Tensor before = prepared.state.global.clone();
  measurement.slice(likely_records(prepared.experiment, prepared.partition, std::vector<std::int64_t>{0, 1, 2, 3}, {}),
                    1);
  EXPECT_GT(measurement.rates().slice_seconds, 0.0);
  EXPECT_EQ(measurement.rates().num_chosen, 1);
  EXPECT_TRUE(at::equal(before, prepared.state.global));
}

// 203 examples: 51, 51, 51 and 50, in four batches each. Ten test examples a client and 40 central ones, in eights.
TEST(WorkOf, IsWhatTheRoundsDo) {
  const Prepared prepared;
  const Cohorts cohorts(prepared.experiment.job, prepared.partition);
  const JobWork work = work_of(prepared.experiment, prepared.partition, cohorts, 0, 4);
  EXPECT_EQ(work.num_rounds, 4);
  EXPECT_EQ(work.num_evaluations, 2);
  EXPECT_EQ(work.num_saves, 4);
  EXPECT_TRUE(work.has_first_evaluation);
  EXPECT_EQ(work.passes, 2);
  ASSERT_EQ(work.rounds.size(), 4U);
  EXPECT_EQ(work.rounds[0].client_costs, (std::vector<std::int64_t>{51, 51, 51, 50}));
  EXPECT_EQ(work.rounds[0].client_steps, (std::vector<std::int64_t>{4, 4, 4, 4}));
  EXPECT_EQ(work.rounds[0].block_costs, (std::vector<std::int64_t>{8, 2, 8, 2, 8, 2, 8, 2, 8, 8, 8, 8, 8}));
  const Layout& layout = prepared.experiment.model->layout();
  EXPECT_EQ(work.shared_bytes, 4 * layout.shared_size());
  EXPECT_EQ(work.sum_bytes, 8 * layout.shared_size());
  EXPECT_EQ(work.vector_bytes, 0);
  EXPECT_EQ(work.label_count_bytes, 8 * (1 + 2 * 3 * 2 + 2 * 2));
  EXPECT_EQ(work.num_slices, 0);

  const JobWork rest = work_of(prepared.experiment, prepared.partition, cohorts, 4, 4);
  EXPECT_EQ(rest.num_rounds, 1);
  EXPECT_EQ(rest.num_evaluations, 1);
  EXPECT_FALSE(rest.has_first_evaluation);
  EXPECT_EQ(work_of(prepared.experiment, prepared.partition, cohorts, 5, 4).num_rounds, 0);
}

TEST(WorkOf, StrategiesOnSlicesAndWithMoreVectors) {
  const Prepared krum({"strategy.name=krum"});
  const JobWork by_slices =
      work_of(krum.experiment, krum.partition, Cohorts(krum.experiment.job, krum.partition), 0, 4);
  const std::int64_t size = krum.experiment.model->layout().shared_parameters_size();
  EXPECT_EQ(by_slices.sum_bytes, 0);
  EXPECT_EQ(by_slices.update_bytes, 4 * size);
  EXPECT_EQ(by_slices.times_exchanged, 2);
  EXPECT_EQ(by_slices.num_slices, 1);
  const Prepared scaffold({"strategy.name=scaffold", "training.optimizer=sgd"});
  const JobWork sums =
      work_of(scaffold.experiment, scaffold.partition, Cohorts(scaffold.experiment.job, scaffold.partition), 0, 4);
  EXPECT_EQ(sums.shared_bytes, 2 * 4 * size);
  EXPECT_EQ(sums.vector_bytes, 4 * size);
  EXPECT_EQ(sums.sum_bytes, 2 * 8 * size);
}

}  // namespace
}  // namespace fedmpi
