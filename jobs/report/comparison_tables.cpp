#include "numbers.hpp"
#include "sections.hpp"
#include "table.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace fedmpi {

namespace {

std::vector<const Measure*> measured_by_any(std::span<const Run> runs) {
  std::vector<const Measure*> result;
  for (const Measure& measure : measures)
    if (std::ranges::any_of(runs, [&](const Run& run) { return is_measured(measure, run.rounds); }))
      result.push_back(&measure);
  return result;
}

std::string heading(const Measure& measure) {
  return fmt::format("{} {}", measure.source, measure.quantity);
}

// Of rows whose values stand in `column`, those with the best one.
void mark_best(std::vector<std::vector<Cell>>& rows, std::size_t column, const std::vector<double>& values,
               bool higher_is_better) {
  double best = std::nan("");
  for (const double value : values)
    if (std::isnan(best) || (higher_is_better ? value > best : value < best)) best = value;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows.size() > 1 && values[i] == best) rows[i][column].css_class = "best";
}

void add_keys(std::vector<Cell>& row, const Group& group, const Comparison& comparison) {
  for (const std::string& key : comparison.keys) {
    const auto value = group.differs.find(key);
    row.push_back({value == group.differs.end() ? "–" : value->second});
  }
}

double mean_seconds(const Run& run) {
  double seconds = 0.0;
  for (const RoundMetrics& metrics : run.rounds) seconds += metrics.seconds.total;
  return seconds;
}

}  // namespace

void write_group_table(Markup& page, std::span<const Run> runs, const Comparison& comparison) {
  const std::vector<const Measure*> shown = measured_by_any(runs);
  std::vector<Column> columns;
  const bool by_directory = std::ranges::any_of(comparison.groups, &Group::named_by_directory);
  if (by_directory) columns.push_back({"job", false});
  for (const std::string& key : comparison.keys) columns.push_back({key, false});
  columns.push_back({"seeds"});
  columns.push_back({"round"});
  const std::size_t first_measure = columns.size();
  for (const Measure* measure : shown) columns.push_back({heading(*measure)});
  std::vector<std::vector<Cell>> rows;
  std::vector<std::vector<double>> values(shown.size());
  for (const Group& group : comparison.groups) {
    std::vector<Cell>& row = rows.emplace_back();
    if (by_directory) row.push_back({group.label});
    add_keys(row, group, comparison);
    row.push_back({fmt::format("{}", group.num_seeds)});
    row.push_back({"–"});
    int newest = -1;
    std::vector<std::vector<Statistic>> statistics;
    for (const Measure* measure : shown) {
      statistics.push_back(group_rounds(*measure, group, runs));
      if (!statistics.back().empty()) newest = std::max(newest, statistics.back().back().round);
    }
    if (newest >= 0) row.back().text = grouped(newest);
    for (std::size_t i = 0; i < shown.size(); ++i) {
      row.push_back({"–"});
      values[i].push_back(std::nan(""));
      if (statistics[i].empty()) continue;
      const Statistic& last = statistics[i].back();
      values[i].back() = last.mean;
      row.back().text = measured(last.mean);
      if (last.deviation) row.back().text += " ±\u00a0" + measured(*last.deviation);
      if (last.round != newest) row.back().text += fmt::format(" (round {})", last.round);
    }
  }
  for (std::size_t i = 0; i < shown.size(); ++i)
    mark_best(rows, first_measure + i, values[i], shown[i]->higher_is_better);
  write_table(page, columns, rows, "means");
}

void write_run_table(Markup& page, std::span<const Run> runs, const Comparison& comparison) {
  const std::vector<const Measure*> shown = measured_by_any(runs);
  std::vector<Column> columns = {{"run", false}};
  for (const std::string& key : comparison.keys) columns.push_back({key, false});
  columns.push_back({"seed"});
  columns.push_back({"rounds"});
  for (const Measure* measure : shown) columns.push_back({heading(*measure)});
  columns.push_back({"time"});
  columns.push_back({"failed"});
  columns.push_back({"digest", false});
  std::vector<std::vector<Cell>> rows;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::vector<Cell>& row = rows.emplace_back();
    const RoundMetrics* last = runs[i].rounds.empty() ? nullptr : &runs[i].rounds.back();
    row.push_back({runs[i].directory});
    add_keys(row, comparison.groups[comparison.group_of[i]], comparison);
    row.push_back({fmt::format("{}", runs[i].seed)});
    row.push_back({fmt::format("{} of {}", last == nullptr ? 0 : last->round, runs[i].num_rounds)});
    for (const Measure* measure : shown) {
      const auto newest =
          std::find_if(runs[i].rounds.rbegin(), runs[i].rounds.rend(),
                       [&](const RoundMetrics& metrics) { return (metrics.*measure->value).has_value(); });
      row.push_back({newest == runs[i].rounds.rend() ? "–" : measured(*((*newest).*measure->value))});
    }
    std::int64_t failures = 0;
    for (const RoundMetrics& metrics : runs[i].rounds) failures += metrics.failures.value_or(0);
    row.push_back({seconds_text(mean_seconds(runs[i]))});
    row.push_back({grouped(failures)});
    row.push_back({last == nullptr ? "–" : last->digest.substr(0, 12)});
  }
  write_table(page, columns, rows, "runs");
}

}  // namespace fedmpi
