#include "axis.hpp"
#include "comparison.hpp"
#include "fedmpi/error.hpp"
#include "line_chart.hpp"
#include "markup.hpp"
#include "numbers.hpp"
#include "temporary_directory.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

std::vector<std::string> labels(const Axis& axis) {
  std::vector<std::string> result;
  for (const double tick : axis.ticks) result.push_back(axis.label(tick));
  return result;
}
using Strings = std::vector<std::string>;
using Runs = std::vector<fedmpi::Run>;  // not the test's own Run

TEST(ReportAxis, TicksAreRoundNumbersAroundTheValues) {
  EXPECT_EQ(labels(value_axis(0.497, 0.829, 4)), (Strings{"0.4", "0.5", "0.6", "0.7", "0.8", "0.9"}));
  EXPECT_EQ(labels(value_axis(0.0, 1.0, 4)), (Strings{"0.0", "0.5", "1.0"}));
  EXPECT_EQ(labels(value_axis(0.0, 1234.0, 4)), (Strings{"0", "500", "1,000", "1,500"}));
  EXPECT_EQ(labels(value_axis(-0.3, 0.3, 4)), (Strings{"-0.4", "-0.2", "0.0", "0.2", "0.4"}));
  const Axis axis = value_axis(0.4, 0.9, 4);
  EXPECT_DOUBLE_EQ(axis.position(axis.low), 0.0);
  EXPECT_DOUBLE_EQ(axis.position(axis.high), 1.0);
}

TEST(ReportAxis, AnyValuesGiveFewTicksAndARange) {
  for (const double low : {-1e299, -1.0, 0.0, 1e-300, 0.5, 1.0, 1e16, 1e299}) {
    for (const double width : {0.0, 1e-300, 1e-17, 1e-9, 1.0, 1e12, 1e299}) {
      const Axis axis = value_axis(low, low + width, 4);
      EXPECT_LT(axis.low, axis.high) << low << " " << width;
      EXPECT_LE(axis.low, low + 1e-6 * (axis.high - axis.low)) << low << " " << width;
      EXPECT_LE(axis.ticks.size(), 12U) << low << " " << width;
      EXPECT_GE(axis.ticks.size(), 2U) << low << " " << width;
      for (const double tick : axis.ticks) EXPECT_LT(axis.label(tick).size(), 16U) << axis.label(tick);
    }
  }
  EXPECT_FALSE(is_drawable(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_FALSE(is_drawable(-std::numeric_limits<double>::infinity()));
}

TEST(ReportAxis, RoundsAreWholeNumbers) {
  EXPECT_EQ(labels(round_axis(0, 3, 6)), (Strings{"0", "1", "2", "3"}));
  EXPECT_EQ(labels(round_axis(0, 0, 6)), (Strings{"0", "1"}));
  EXPECT_EQ(labels(round_axis(1, 10'000, 6)), (Strings{"2,000", "4,000", "6,000", "8,000", "10,000"}));
}

TEST(ReportNumbers, AreAsPeopleReadThem) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(-1'234'567), "-1,234,567");
  EXPECT_EQ(grouped(-123), "-123");
  EXPECT_EQ(whole(1234.5), "1,235");
  EXPECT_EQ(whole(-1e300), "-1.000e+300");
  EXPECT_EQ(whole(std::nan("")), "NaN");
  EXPECT_EQ(measured(1.0 / 3), "0.3333");
  EXPECT_EQ(measured(1.5e12), "1.500e+12");
  EXPECT_EQ(measured(std::nan("")), "NaN");
  EXPECT_EQ(percentage(0.125), "12.5 %");
}

TEST(ReportMarkup, NothingThatIsGivenBecomesMarkup) {
  EXPECT_EQ(escaped("<script>&\"'"), "&lt;script&gt;&amp;&quot;&#39;");
  EXPECT_EQ(escaped("caf\xC3\xA9\n"), "caf\xC3\xA9\n");
  for (const char* bad : {"\xFF", "\x01", "\x7F", "\xE2\x80\xAE", "\xEF\xBF\xBF"})
    EXPECT_EQ(escaped(bad), "\xEF\xBF\xBD") << "not UTF-8, a control, one that turns the text, none at all";
  EXPECT_EQ(escaped(std::string_view("\0", 1)), "\xEF\xBF\xBD");
  EXPECT_EQ(shown("<\x1B[1m\n"), "<\xEF\xBF\xBD[1m\n");
  Markup page("");
  {
    const auto element = page.element("p", {{"title", "\"><b>"}});
    page.text("</p>");
  }
  EXPECT_EQ(page.take(), "<p title=\"&quot;&gt;&lt;b&gt;\">&lt;/p&gt;</p>\n");
}

TEST(ReportChart, ThinnedPointsKeepTheExtremes) {
  std::vector<Point> points;
  for (int round = 0; round < 10'000; ++round) points.push_back({round, 1.0, 1.0, 1.0});
  points[1234].value = points[1234].high = 9.0;
  points[7777].value = points[7777].low = -5.0;
  points[5000].value = std::nan("");
  const std::vector<Point> thin = thinned(points, 200);
  EXPECT_LE(thin.size(), 600U);
  int highest = 0, lowest = 0, gaps = 0, last = -1;
  for (const Point& point : thin) {
    EXPECT_GT(point.round, last);
    last = point.round;
    highest += point.value == 9.0 && point.round == 1234 && point.high == 9.0;
    lowest += point.value == -5.0 && point.round == 7777;
    gaps += std::isnan(point.value);
  }
  EXPECT_EQ(highest, 1);
  EXPECT_EQ(lowest, 1);
  EXPECT_EQ(gaps, 1);
  points.resize(400);
  EXPECT_EQ(thinned(points, 200).size(), 400U) << "few enough as they are";
}

TEST(ReportComparison, MeanAndSampleStandardDeviation) {
  // Wikipedia, "Standard deviation", the example of eight pupils: deviation 2 of the population.
  const std::vector<double> marks = {2, 4, 4, 4, 5, 5, 7, 9};
  EXPECT_DOUBLE_EQ(statistic_of(3, marks).mean, 5.0);
  EXPECT_DOUBLE_EQ(*statistic_of(3, marks).deviation, std::sqrt(32.0 / 7.0));
  EXPECT_EQ(statistic_of(3, std::vector{0.5}).mean, 0.5);
  EXPECT_FALSE(statistic_of(3, std::vector{0.5}).deviation);
}

Run made_run(const std::string& directory, std::uint64_t seed, std::map<std::string, std::string> keys,
             std::vector<double> accuracies) {
  Run run;
  run.directory = directory;
  run.seed = seed;
  run.keys = std::move(keys);
  run.keys["run.seed"] = std::to_string(seed);
  run.keys["training.batch_size"] = "16";
  for (const double accuracy : accuracies) {
    RoundMetrics& metrics = run.rounds.emplace_back();
    metrics.round = static_cast<int>(run.rounds.size()) - 1;
    metrics.central_accuracy = accuracy;
  }
  return run;
}

TEST(ReportComparison, GroupsByTheKeysThatDiffer) {
  const std::map<std::string, std::string> avg = {{"strategy.name", "\"fedavg\""}},
                                           prox = {{"strategy.name", "\"fedprox\""}, {"strategy.proximal_mu", "0.1"}};
  const Runs runs = {made_run("a", 1, avg, {0.1, 0.5, 0.7}), made_run("b", 1, prox, {0.1, 0.4}),
                     made_run("c", 2, avg, {0.2, 0.7}), made_run("d", 2, prox, {0.1, 0.6})};
  const Comparison comparison = compare(runs);
  EXPECT_EQ(comparison.keys, Strings{"strategy.name"}) << "that fedprox has an option follows from its name";
  ASSERT_EQ(comparison.groups.size(), 2U);
  EXPECT_EQ(comparison.groups[0].label, "strategy.name=fedavg");
  EXPECT_EQ(comparison.groups[1].runs, (std::vector<std::size_t>{1, 3}));
  EXPECT_EQ(comparison.labels[3], "strategy.name=fedprox, run.seed=2");
  const std::vector<Statistic> rounds = group_rounds(measures[0], comparison.groups[0], runs);
  ASSERT_EQ(rounds.size(), 2U) << "round 2 has not been reached by all";
  EXPECT_DOUBLE_EQ(rounds[1].mean, 0.6);
  EXPECT_DOUBLE_EQ(*rounds[1].deviation, std::sqrt(0.02));
}

TEST(ReportComparison, AnOptionWithSeveralValuesIsNamed) {
  Runs runs;
  for (const char* mu : {"0.1", "1.0"})
    runs.push_back(made_run(mu, 1, {{"strategy.name", "\"fedprox\""}, {"strategy.proximal_mu", mu}}, {0.5}));
  EXPECT_EQ(compare(runs).keys, Strings{"strategy.proximal_mu"});
  EXPECT_EQ(compare(runs).labels[1], "strategy.proximal_mu=1.0");
  runs.push_back(made_run("avg", 1, {{"strategy.name", "\"fedavg\""}}, {0.5}));
  EXPECT_EQ(compare(runs).keys, (Strings{"strategy.name", "strategy.proximal_mu"}));
}

TEST(ReportComparison, ASeedCountsOnce) {
  const Runs runs = {made_run("first", 1, {}, {0.5}), made_run("again", 1, {}, {0.5}), made_run("other", 2, {}, {0.9})};
  const Comparison comparison = compare(runs);
  ASSERT_EQ(comparison.groups.size(), 2U);
  EXPECT_EQ(comparison.groups[0].runs, (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(comparison.groups[1].label, "again");
  EXPECT_TRUE(comparison.groups[1].named_by_directory);
}

TEST(ReportComparison, RepeatedRunsAreOneJobBesideOthers) {
  const std::map<std::string, std::string> avg = {{"strategy.name", "\"fedavg\""}},
                                           prox = {{"strategy.name", "\"fedprox\""}};
  const Runs runs = {made_run("first", 1, avg, {0.5, 0.6}), made_run("again", 1, avg, {0.7}),
                     made_run("other", 2, avg, {0.9, 0.9}), made_run("prox", 1, prox, {0.8})};
  const Comparison comparison = compare(runs);
  ASSERT_EQ(comparison.groups.size(), 2U);
  EXPECT_EQ(comparison.groups[0].runs, (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_EQ(comparison.groups[0].num_seeds, 2U);
  EXPECT_EQ(comparison.groups[0].label, "strategy.name=fedavg");
  const std::vector<Statistic> rounds = group_rounds(measures[0], comparison.groups[0], runs);
  ASSERT_EQ(rounds.size(), 1U) << "round 1 has not been reached by all";
  EXPECT_DOUBLE_EQ(rounds[0].mean, 0.75) << "seed 1 counts once";
  EXPECT_DOUBLE_EQ(*rounds[0].deviation, std::sqrt(0.045));
}

}  // namespace
}  // namespace fedmpi
