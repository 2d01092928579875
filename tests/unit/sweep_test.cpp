#include "fedmpi/sweep.hpp"

#include "fedmpi/error.hpp"
#include "sweep_table.hpp"
#include "temporary_directory.hpp"

#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

using Words = std::vector<std::string>;

std::vector<SweepRun> runs(const Words& sweeps) {
  return sweep_runs(sweeps);
}

std::string message(const Words& sweeps) {
  try {
    runs(sweeps);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

RoundMetrics with_accuracy(double accuracy) {
  RoundMetrics metrics;
  metrics.round = 3;
  metrics.digest = "0123456789abcdef";
  metrics.fit_loss = 0.5;
  metrics.central_accuracy = accuracy;
  return metrics;
}

TEST(Sweep, EveryCombinationTheLastKeyFastest) {
  const auto all = runs({"strategy.name=fedavg,fedprox", "seed=1,2"});
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].label, "strategy=fedavg,seed=1");
  EXPECT_EQ(all[1].label, "strategy=fedavg,seed=2");
  EXPECT_EQ(all[2].label, "strategy=fedprox,seed=1");
  EXPECT_EQ(all[3].settings, (Words{"strategy.name=fedprox", "run.seed=2"}));
}

TEST(Sweep, CommasWithinAValueDoNotSplitIt) {
  const auto all =
      runs({R"(data.partition={ name = "dirichlet", alpha = 0.3 },iid)", R"(model.lora_targets=["a","b"],["c"])"});
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].settings[0], R"(data.partition={ name = "dirichlet", alpha = 0.3 })");
  EXPECT_EQ(all[0].settings[1], R"(model.lora_targets=["a","b"])");
  EXPECT_EQ(all[3].label, "partition=iid,lora_targets=_c_");
}

TEST(Sweep, KeysThatWouldHaveTheSameShortNameKeepTheirSections) {
  const auto all = runs({"training.batch_size=8", "evaluation.batch_size=64"});
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].label, "training.batch_size=8,evaluation.batch_size=64");
}

TEST(Sweep, WhatIsNotUnderstoodIsAnError) {
  EXPECT_NE(message({"seed"}).find("'seed' is not of the form"), std::string::npos);
  EXPECT_NE(message({"=1,2"}).find("is not of the form"), std::string::npos);
  EXPECT_NE(message({"seed=1,,2"}).find("an empty value"), std::string::npos);
  EXPECT_NE(message({"seed=1", "seed=2"}).find("given twice"), std::string::npos);
  EXPECT_NE(message({"seed=1", "run.seed=2"}).find("'run.seed' is given twice"), std::string::npos);
  EXPECT_NE(message({"seed=1,1"}).find("the value 1 twice"), std::string::npos);
  EXPECT_NE(message({"training.learning_rate=0.1,1e-1"}).find("the value 1e-1 twice"), std::string::npos);
  EXPECT_NE(message({"strategy.name=fedavg,fedavg"}).find("both be called 'strategy=fedavg'"), std::string::npos);
  EXPECT_NE(message({"sed=1,2"}).find("'sed' is no key: name its section"), std::string::npos);
  EXPECT_NE(message({"run.output=a,b"}).find("which --output names"), std::string::npos);
  Words many(5, "");
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = "model.key" + std::to_string(i) + "=0,1,2,3,4,5,6,7,8,9";
  EXPECT_NE(message(many).find("more than 10000 runs"), std::string::npos);
}

TEST(SweepTable, MeanAndDeviationOverSeedsOfWhatIsOtherwiseTheSame) {
  const auto all = runs({"strategy.name=fedavg,fedprox", "run.seed=1,2,3"});
  // fedavg: 0.7, 0.8, 0.9: mean 0.8, squares 0.02 / 2, deviation 0.1. Of fedprox one run is missing: 0.5 and 0.7.
  const std::vector<std::optional<RoundMetrics>> last{with_accuracy(0.7), with_accuracy(0.8), with_accuracy(0.9),
                                                      with_accuracy(0.5), std::nullopt,       with_accuracy(0.7)};
  const std::string table = sweep_table(all, last);
  EXPECT_NE(table.find("strategy=fedavg,seed=1   round 3, central accuracy 0.7000, digest 0123456789ab\n"),
            std::string::npos)
      << table;
  EXPECT_NE(table.find("strategy=fedprox,seed=2  did not begin\n"), std::string::npos) << table;
  EXPECT_NE(table.find("strategy.name=fedavg: 0.8000 +- 0.1000 over 3 seeds\n"), std::string::npos) << table;
  EXPECT_NE(table.find("strategy.name=fedprox: 0.6000 +- 0.1414 over 2 seeds\n"), std::string::npos) << table;
}

TEST(SweepTable, WithoutSeedsThereAreNoMeans) {
  const auto all = runs({"strategy.name=fedavg,fedprox"});
  const std::vector<std::optional<RoundMetrics>> last{with_accuracy(0.7), with_accuracy(0.8)};
  EXPECT_EQ(sweep_table(all, last).find("mean"), std::string::npos);
}

TEST(SweepTable, TheNewestWholeLineOfTheMetricsCounts) {
  const TemporaryDirectory directory;
  EXPECT_FALSE(last_round(directory.path()).has_value());
  std::ofstream(directory.path() / "metrics.jsonl") << to_json_line(with_accuracy(0.25)) << "\n{\"round\": 4, \"dig";
  const auto last = last_round(directory.path());
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->round, 3);
  EXPECT_EQ(describe(*last), "round 3, central accuracy 0.2500, digest 0123456789ab");
}

}  // namespace
}  // namespace fedmpi
