#include "fedmpi/metrics.hpp"

#include "fedmpi/error.hpp"
#include "temporary_directory.hpp"

#include <cmath>
#include <limits>
#include <string>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

RoundMetrics first_round() {
  RoundMetrics metrics;
  metrics.round = 1;
  metrics.digest = "0123456789abcdef0123456789abcdef";
  metrics.clients = 7;
  metrics.failures = 0;
  metrics.fit_loss = 0.1;
  metrics.evaluate_loss = 1.0 / 3.0;
  metrics.evaluate_accuracy = 0.5;
  metrics.central_loss = 0.25;
  metrics.central_accuracy = 0.75;
  metrics.seconds = {1.5, 20.0, 0.125, 3.0, 0.5, 25.125};
  metrics.tokens_per_second = 12345.678;
  metrics.hosts_predicted_seconds = 18.5;
  metrics.hosts_longest_seconds = 19.5;
  metrics.hosts_idle_share = 0.0625;
  metrics.update_bytes = 6'000'000'000;
  metrics.bytes_sent = 5'000'000'000;
  metrics.peak_rss_bytes = 1'000'000'000;
  return metrics;
}

RoundMetrics before_training() {
  RoundMetrics metrics;
  metrics.digest = "f";
  metrics.seconds.total = 0.5;
  return metrics;
}

TEST(Metrics, LineHasTheNamedKeysInOrder) {
  EXPECT_EQ(
      to_json_line(first_round()),
      R"({"round":1,"digest":"0123456789abcdef0123456789abcdef","clients":7,"failures":0,"fit":{"loss":0.1},)"
      R"("evaluate":{"loss":0.3333333333333333,"accuracy":0.5},"central":{"loss":0.25,"accuracy":0.75},)"
      R"("seconds":{"broadcast":1.5,"fit":20.0,"aggregate":0.125,"evaluate":3.0,"checkpoint":0.5,"total":25.125},)"
      R"("tokens_per_second":12345.678,"hosts":{"predicted_seconds":18.5,"longest_seconds":19.5,"idle_share":0.0625},)"
      R"("update_bytes":6000000000,"bytes_sent":5000000000,"peak_rss_bytes":1000000000})");
}

TEST(Metrics, WhatWasNotMeasuredIsAbsent) {
  EXPECT_EQ(to_json_line(before_training()),
            R"({"round":0,"digest":"f","seconds":{"total":0.5},"bytes_sent":0,"peak_rss_bytes":0})");
}

TEST(Metrics, LineComesBack) {
  const RoundMetrics metrics = from_json_line(to_json_line(first_round()));
  EXPECT_EQ(to_json_line(metrics), to_json_line(first_round()));
  EXPECT_EQ(*metrics.evaluate_loss, 1.0 / 3.0);  // to the last bit
  EXPECT_EQ(metrics.bytes_sent, 5'000'000'000);
  EXPECT_EQ(metrics.update_bytes, 6'000'000'000);
  EXPECT_FALSE(from_json_line(to_json_line(before_training())).fit_loss.has_value());
  RoundMetrics with_failures = first_round();
  with_failures.failed = {{3, "no memory for \"it\""}, {5, "NaN"}};
  const std::string line = to_json_line(with_failures);
  EXPECT_TRUE(line.ends_with(R"("failed":[{"client":3,"reason":"no memory for \"it\""},{"client":5,"reason":"NaN"}]})"))
      << line;
  ASSERT_EQ(from_json_line(line).failed.size(), 2U);
  EXPECT_EQ(from_json_line(line).failed[1].message, "NaN");
  EXPECT_EQ(to_json_line(from_json_line(line)), line);
}

TEST(Metrics, F1AndConfusionComeBack) {
  RoundMetrics metrics = first_round();
  metrics.evaluate_f1 = 0.5;
  metrics.central_f1 = 2.0 / 3.0;
  metrics.central_confusion = {{5, 1}, {0, 1'000'000'000'000}};
  const std::string line = to_json_line(metrics);
  EXPECT_NE(line.find(R"("evaluate":{"loss":0.3333333333333333,"accuracy":0.5,"f1":0.5})"), std::string::npos) << line;
  EXPECT_NE(line.find(R"("central":{"loss":0.25,"accuracy":0.75,"f1":0.6666666666666666,)"
                      R"("confusion":[[5,1],[0,1000000000000]]})"),
            std::string::npos)
      << line;
  EXPECT_EQ(from_json_line(line).central_confusion, metrics.central_confusion);
  EXPECT_EQ(to_json_line(from_json_line(line)), line);
}

TEST(Metrics, RegressionHasAMeanAbsoluteError) {
  RoundMetrics metrics = before_training();
  metrics.evaluate_mean_absolute_error = 0.125;
  metrics.central_mean_absolute_error = 0.25;
  const std::string line = to_json_line(metrics);
  EXPECT_NE(line.find(R"("evaluate":{"mean_absolute_error":0.125},"central":{"mean_absolute_error":0.25},"seconds")"),
            std::string::npos)
      << line;
  EXPECT_EQ(to_json_line(from_json_line(line)), line);
  EXPECT_EQ(rounds_table(std::vector{metrics}),
            "                 fit  evaluate    evaluate  central     central\n"
            "round  clients  loss      loss  abs. error     loss  abs. error  seconds  tokens/s  digest\n"
            "    0        -     -         -      0.1250        -      0.2500      0.5         -       f\n");
}

TEST(Metrics, NotANumberIsNull) {
  RoundMetrics metrics = before_training();
  metrics.fit_loss = std::numeric_limits<double>::quiet_NaN();
  const std::string line = to_json_line(metrics);
  EXPECT_NE(line.find(R"("fit":{"loss":null})"), std::string::npos) << line;
  EXPECT_TRUE(std::isnan(*from_json_line(line).fit_loss));
}

TEST(Metrics, LinesThatAreNotUnderstoodAreErrors) {
  const std::string good = to_json_line(before_training());
  for (const std::string& bad :
       {std::string(""), std::string("{"), std::string("[]"), std::string("{}"), good + good,
        good.substr(0, good.size() - 1) + R"(,"surprise":1})", good.substr(0, good.size() - 1) + R"(,"clients":"7"})",
        good.substr(0, good.size() - 1) + R"(,"clients":1.5})",
        good.substr(0, good.size() - 1) + R"(,"clients":18446744073709551615})",
        good.substr(0, good.size() - 1) + R"(,"round":4294967296})",
        good.substr(0, good.size() - 1) + R"(,"clients":)" + std::string(500'000, '[') + std::string(500'000, ']') +
            "}",
        good.substr(0, good.size() - 1) + R"(,"fit":{"loss":"x"}})",
        good.substr(0, good.size() - 1) + R"(,"central":{"confusion":7}})",
        good.substr(0, good.size() - 1) + R"(,"central":{"confusion":[7]}})",
        good.substr(0, good.size() - 1) + R"(,"central":{"confusion":[[7.5]]}})"}) {
    EXPECT_THROW(from_json_line(bad), Error) << bad;
  }
}

TEST(Metrics, FilesGrowALineARound) {
  const TemporaryDirectory directory;
  const std::string header =
      "round,digest,clients,failures,fit.loss,evaluate.loss,evaluate.accuracy,evaluate.f1,"
      "evaluate.mean_absolute_error,central.loss,central.accuracy,central.f1,central.mean_absolute_error,"
      "seconds.broadcast,seconds.fit,seconds.aggregate,seconds.evaluate,seconds.checkpoint,seconds.total,"
      "tokens_per_second,hosts.predicted_seconds,hosts.longest_seconds,hosts.idle_share,update_bytes,"
      "bytes_sent,peak_rss_bytes\n";
  const std::string zero = "0,f,,,,,,,,,,,,,,,,,0.5,,,,,,0,0\n";
  const std::string one =
      "1,0123456789abcdef0123456789abcdef,7,0,0.1,0.3333333333333333,0.5,,,0.25,0.75,,,1.5,20,0.125,3,0.5,25.125,12345."
      "678,18.5,19.5,0.0625,6000000000,"
      "5000000000,1000000000\n";
  {
    MetricsWriter writer(directory.path(), {});
    writer.write(before_training());
    EXPECT_EQ(read_bytes(directory / "metrics.csv"), header + zero) << "flushed by line";
    writer.write(first_round());
    EXPECT_EQ(read_bytes(directory / "metrics.jsonl"),
              to_json_line(before_training()) + "\n" + to_json_line(first_round()) + "\n");
    EXPECT_EQ(read_bytes(directory / "metrics.csv"), header + zero + one);
  }
  const std::vector<std::string> history = {to_json_line(before_training())};
  MetricsWriter writer(directory.path(), history);
  EXPECT_EQ(read_bytes(directory / "metrics.jsonl"), history[0] + "\n") << "a resumed run starts from its history";
  EXPECT_EQ(read_bytes(directory / "metrics.csv"), header + zero);
  writer.write(first_round());
  EXPECT_EQ(read_bytes(directory / "metrics.csv"), header + zero + one);
}

TEST(Metrics, FailedWritesAreErrors) {
  const TemporaryDirectory directory;
  EXPECT_THROW(MetricsWriter(directory / "missing", {}), Error);
}

TEST(Metrics, WhyAClientFailedMayBeInAnyBytes) {
  RoundMetrics metrics = first_round();
  metrics.failed = {{3, "caf\xe9 is closed"}};
  const RoundMetrics read = from_json_line(to_json_line(metrics));
  ASSERT_EQ(read.failed.size(), 1U);
  EXPECT_EQ(read.failed[0].message, "caf\uFFFD is closed");
}

TEST(Metrics, TableLinesUp) {
  RoundMetrics zero = before_training();
  zero.central_accuracy = 0.5;
  const std::vector<RoundMetrics> rounds = {zero, first_round()};
  EXPECT_EQ(rounds_table(rounds),
            "                   fit  evaluate  evaluate  central   central\n"
            "round  clients    loss      loss  accuracy     loss  accuracy  seconds  tokens/s        digest\n"
            "    0        -       -         -         -        -    0.5000      0.5         -             f\n"
            "    1        7  0.1000    0.3333    0.5000   0.2500    0.7500     25.1     12346  0123456789ab\n");
}

}  // namespace
}  // namespace fedmpi
