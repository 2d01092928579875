#include "line_chart.hpp"
#include "numbers.hpp"
#include "plot.hpp"
#include "sections.hpp"

#include <string_view>

#include <fmt/format.h>

namespace fedmpi {

namespace {

std::string capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

// A colour for each source, whatever the chart.
std::size_t style_of(std::string_view source) {
  // Where two lines are one, a dashed one shows both.
  return source == "central" ? 0 : source == "evaluate" ? 1 + num_colours : 2;
}

const char* about(std::string_view source) {
  if (source == "central") return "Global model on the test set";
  return source == "evaluate" ? "Global model on clients' test examples" : "Clients' models while fitting";
}

std::vector<Point> points_of(const Measure& measure, const Run& run) {
  std::vector<Point> points;
  for (const RoundMetrics& metrics : run.rounds)
    if (const auto& value = metrics.*measure.value) points.push_back({metrics.round, *value, *value, *value});
  return points;
}

std::vector<Point> points_of(const std::vector<Statistic>& rounds) {
  std::vector<Point> points;
  for (const Statistic& one : rounds) {
    const double deviation = one.deviation.value_or(0.0);
    points.push_back({one.round, one.mean, one.mean - deviation, one.mean + deviation});
  }
  return points;
}

}  // namespace

void write_curves(Markup& page, const Run& run) {
  const auto grid = page.element("div", {{"class", "grid"}});
  for (std::size_t i = 0; i < measures.size();) {
    LineChart chart{.title = capital(measures[i].quantity),
                    .about = capital(meaning(measures[i])) + ".",
                    .y_name = measures[i].quantity,
                    .lines = {}};
    const std::string_view quantity = measures[i].quantity;
    for (; i < measures.size() && measures[i].quantity == quantity; ++i)
      if (is_measured(measures[i], run.rounds))
        chart.lines.push_back({measures[i].source, style_of(measures[i].source), points_of(measures[i], run)});
    if (!chart.lines.empty()) write_line_chart(page, chart);
  }
  write_confusion(page, run);
}

void write_curves(Markup& page, std::span<const Run> runs, const Comparison& comparison) {
  const auto grid = page.element("div", {{"class", "grid"}});
  for (const Measure& measure : measures) {
    LineChart chart{.title = fmt::format("{} {}", capital(measure.source), measure.quantity),
                    .about = fmt::format("{}: {}.", about(measure.source), meaning(measure)),
                    .y_name = measure.quantity,
                    .lines = {}};
    for (std::size_t i = 0; i < comparison.groups.size(); ++i) {
      std::vector<Point> points = points_of(group_rounds(measure, comparison.groups[i], runs));
      if (!points.empty()) chart.lines.push_back({comparison.groups[i].label, i, std::move(points)});
    }
    if (!chart.lines.empty()) write_line_chart(page, chart);
  }
}

}  // namespace fedmpi
