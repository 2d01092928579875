#include "numbers.hpp"
#include "plot.hpp"
#include "sections.hpp"
#include "table.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr std::size_t max_bars = 100, max_hints = 60, num_parts = std::tuple_size_v<PhaseTotals>;
// Fitting, which takes most of the time, in the calmest colour.
constexpr std::array<std::size_t, num_parts> colours = {3, 0, 2, 1, 5, 7};

std::string part_class(std::size_t part) {
  return part < phases.size() ? fill_class(colours[part]) : "fill rest";
}

double sum(const PhaseTotals& totals) {
  return std::accumulate(totals.begin(), totals.end(), 0.0);
}

std::string in_words(const PhaseTotals& totals) {
  std::string text;
  for (std::size_t part = 0; part < num_parts; ++part)
    if (totals[part] > 0.0)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", phase_name(part), seconds_text(totals[part]));
  return text;
}

struct Bar {
  int first_round, last_round;
  PhaseTotals seconds;  // mean of those rounds
};

std::vector<Bar> bars_of(std::span<const RoundMetrics> rounds) {
  std::vector<Bar> bars;
  const std::size_t each = (rounds.size() + max_bars - 1) / max_bars;
  for (std::size_t i = 0; i < rounds.size(); i += each) {
    const auto some = rounds.subspan(i, std::min(each, rounds.size() - i));
    Bar bar{some.front().round, some.back().round, phase_totals(some)};
    for (double& seconds : bar.seconds) seconds /= static_cast<double>(some.size());
    bars.push_back(bar);
  }
  return bars;
}

std::string name_of(const Bar& bar) {
  return bar.first_round == bar.last_round ? fmt::format("round {}", bar.first_round)
                                           : fmt::format("rounds {} to {}", bar.first_round, bar.last_round);
}

std::vector<LegendEntry> legend(const PhaseTotals& totals) {
  std::vector<LegendEntry> entries;
  for (std::size_t part = 0; part < num_parts; ++part)
    if (totals[part] > 0.0) entries.push_back({phase_name(part), "", part_class(part)});
  return entries;
}

std::string rectangle(double x, double y, double width, double height) {
  return fmt::format("M{} {}h{}v{}h-{}Z", coordinate(x), coordinate(y), coordinate(width), coordinate(height),
                     coordinate(width));
}

void write_bars(Markup& page, const std::vector<Bar>& bars, const Axis& axis) {
  const double step = plot_side / static_cast<double>(bars.size()), width = (bars.size() > 60 ? 1.0 : 0.72) * step;
  std::array<std::string, num_parts> paths;
  for (std::size_t i = 0; i < bars.size(); ++i) {
    double below = 0.0;
    for (std::size_t part = 0; part < num_parts; ++part) {
      const double height = plot_side * axis.position(bars[i].seconds[part]);
      if (height >= 0.05)
        paths[part] +=
            rectangle(static_cast<double>(i) * step + (step - width) / 2, plot_side - below - height, width, height);
      below += height;
    }
  }
  for (std::size_t part = 0; part < num_parts; ++part)
    if (!paths[part].empty()) page.empty_element("path", {{"class", part_class(part)}, {"d", paths[part]}});
  if (bars.size() > max_hints) return;
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const auto hint =
        page.element("path", {{"class", "hint"}, {"d", rectangle(static_cast<double>(i) * step, 0, step, plot_side)}});
    page.element("title", {}, fmt::format("{}: {}", name_of(bars[i]), in_words(bars[i].seconds)));
  }
}

// At whole rounds, in the middle of their bars.
std::vector<Tick> bar_ticks(const std::vector<Bar>& bars) {
  const Axis axis = round_axis(bars.front().first_round, bars.back().last_round, 6);
  std::vector<Tick> ticks;
  for (const double round : axis.ticks) {
    const auto bar =
        std::ranges::find_if(bars, [&](const Bar& one) { return one.first_round <= round && round <= one.last_round; });
    if (bar != bars.end())
      ticks.push_back(
          {(static_cast<double>(bar - bars.begin()) + 0.5) / static_cast<double>(bars.size()), axis.label(round)});
  }
  return ticks;
}

void write_totals(Markup& page, const PhaseTotals& totals, std::size_t num_rounds) {
  write_figure(page, {.title = "Time in all", .about = "Sums over the rounds.", .legend = {}}, [&] {
    std::vector<std::vector<Cell>> rows;
    const auto add = [&](const char* name, double seconds) {
      rows.push_back({{name},
                      {seconds_text(seconds)},
                      {percentage(seconds / std::max(sum(totals), 1e-300))},
                      {seconds_text(seconds / static_cast<double>(num_rounds))}});
    };
    for (std::size_t part = 0; part < num_parts; ++part)
      if (totals[part] > 0.0) add(phase_name(part), totals[part]);
    add("all", sum(totals));
    write_table(page, {{"phase", false}, {"in all"}, {"share"}, {"a round"}}, rows);
  });
}

}  // namespace

void write_times(Markup& page, const Run& run) {
  if (run.rounds.empty()) return;
  const auto grid = page.element("div", {{"class", "grid"}});
  const std::vector<Bar> bars = bars_of(run.rounds);
  const PhaseTotals totals = phase_totals(run.rounds);
  double highest = 0.0;
  for (const Bar& bar : bars) highest = std::max(highest, sum(bar.seconds));
  const Axis axis = value_axis(0.0, highest, 4);
  const bool merged = bars.size() < run.rounds.size();
  const Figure figure{.title = "Time by phase",
                      .about = merged ? fmt::format("Wall time on the server, means of {} rounds each.",
                                                    (run.rounds.size() + max_bars - 1) / max_bars)
                                      : "Wall time of each round on the server.",
                      .legend = legend(totals)};
  write_figure(page, figure, [&] {
    const Plane plane{
        .summary = fmt::format("Time by phase in {} rounds, in all: {}.", run.rounds.size(), in_words(totals)),
        .x_name = "round",
        .y_name = "seconds a round",
        .x_ticks = bar_ticks(bars),
        .y_ticks = ticks_of(axis)};
    write_plane(page, plane, [&] { write_bars(page, bars, axis); });
  });
  write_totals(page, totals, run.rounds.size());
}

void write_times(Markup& page, std::span<const Run> runs, const Comparison& comparison) {
  std::vector<PhaseTotals> means;
  PhaseTotals all{};
  for (const Group& group : comparison.groups) {
    PhaseTotals totals{};
    double count = 0.0;
    for (const std::size_t i : group.runs) {
      // What comes before any training is no round like the others.
      const std::span<const RoundMetrics> rounds(runs[i].rounds);
      const auto trained = rounds.subspan(!rounds.empty() && rounds.front().round == 0 ? 1 : 0);
      const PhaseTotals mine = phase_totals(trained);
      for (std::size_t part = 0; part < num_parts; ++part) totals[part] += mine[part];
      count += static_cast<double>(trained.size());
    }
    for (std::size_t part = 0; part < num_parts; ++part) all[part] += totals[part] /= std::max(count, 1.0);
    means.push_back(totals);
  }
  const double longest = sum(*std::ranges::max_element(means, {}, sum));
  const Figure figure{.title = "Time by phase",
                      .about = "Wall time of a round on the server: mean over rounds after round 0, and over runs.",
                      .legend = legend(all),
                      .is_wide = true};
  write_figure(page, figure, [&] {
    const auto list = page.element("div", {{"class", "bars"}});
    for (std::size_t i = 0; i < means.size(); ++i) {
      page.element("span", {}, comparison.groups[i].label);
      {
        const auto svg = page.element(
            "svg", {{"viewBox", "0 0 1000 10"},
                    {"preserveAspectRatio", "none"},
                    {"role", "img"},
                    {"aria-label", fmt::format("{}: {}", comparison.groups[i].label, in_words(means[i]))}});
        double x = 0.0;
        for (std::size_t part = 0; part < num_parts; ++part) {
          const double width = plot_side * means[i][part] / std::max(longest, 1e-300);
          if (width >= 0.05)
            page.empty_element("path", {{"class", part_class(part)}, {"d", rectangle(x, 0, width, 10)}});
          x += width;
        }
      }
      page.element("b", {}, seconds_text(sum(means[i])));
    }
  });
}

}  // namespace fedmpi
