#include "line_chart.hpp"

#include "axis.hpp"
#include "numbers.hpp"
#include "plot.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr std::size_t max_buckets = 200, max_dots = 40;

struct Axes {
  Axis x, y;
  double across(int round) const { return plot_side * x.position(round); }
  double down(double value) const { return plot_side * (1 - y.position(value)); }
};

Axes axes_of(const std::vector<ChartLine>& lines) {
  int first = lines.front().points.front().round, last = first;
  double low = 0.0, high = 1.0;
  bool any = false;
  for (const ChartLine& line : lines) {
    first = std::min(first, line.points.front().round);
    last = std::max(last, line.points.back().round);
    for (const Point& point : line.points) {
      for (const double value : {point.value, point.low, point.high}) {
        if (!is_drawable(value)) continue;
        low = any ? std::min(low, value) : value;
        high = any ? std::max(high, value) : value;
        any = true;
      }
    }
  }
  return {round_axis(first, last, 6), value_axis(low, high, 5)};
}

std::string path_of(const std::vector<Point>& points, const Axes& axes) {
  std::string path;
  bool interrupted = true;
  for (const Point& point : points) {
    if (is_drawable(point.value))
      path += fmt::format("{}{} {}", interrupted ? "M" : "L", coordinate(axes.across(point.round)),
                          coordinate(axes.down(point.value)));
    interrupted = !is_drawable(point.value);
  }
  return path;
}

// The band where there is one; its lower side is drawn on the way back.
std::string band_of(const std::vector<Point>& points, const Axes& axes) {
  std::string path, back;
  const auto close = [&] {
    if (!back.empty()) path += back + "Z";
    back.clear();
  };
  for (const Point& point : points) {
    if (!is_drawable(point.low) || !is_drawable(point.high)) {
      close();
      continue;
    }
    const std::string x = coordinate(axes.across(point.round));
    path += fmt::format("{}{} {}", back.empty() ? "M" : "L", x, coordinate(axes.down(point.high)));
    back = fmt::format("L{} {}", x, coordinate(axes.down(point.low))) + back;
  }
  close();
  return path;
}

void write_dots(Markup& page, const ChartLine& line, const Axes& axes) {
  for (const Point& point : line.points) {
    if (!is_drawable(point.value)) continue;
    const auto dot = page.element(
        "path",
        {{"class", fmt::format("dot c{}", line.style % num_colours)},
         {"d", fmt::format("M{} {}h0", coordinate(axes.across(point.round)), coordinate(axes.down(point.value)))}});
    std::string text = fmt::format("{}, round {}: {}", line.label, point.round, measured(point.value));
    if (point.high > point.low) text += " ± " + measured((point.high - point.low) / 2);
    page.element("title", {}, text);
  }
}

}  // namespace

std::vector<Point> thinned(const std::vector<Point>& points, std::size_t buckets) {
  if (points.size() <= 2 * buckets) return points;
  std::vector<Point> result;
  for (std::size_t i = 0; i < buckets; ++i) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(i * points.size() / buckets),
               end = points.begin() + static_cast<std::ptrdiff_t>((i + 1) * points.size() / buckets);
    // A gap stays one.
    const auto gap = std::find_if(begin, end, [](const Point& point) { return !is_drawable(point.value); });
    auto [least, most] =
        std::minmax_element(begin, gap, [](const auto& a, const auto& b) { return a.value < b.value; });
    if (least != gap) {
      Point low = *least, high = *most;
      for (auto point = begin; point != gap; ++point) {
        low.low = high.low = std::min(low.low, point->low);
        low.high = high.high = std::max(low.high, point->high);
      }
      if (low.round > high.round) std::swap(low, high);
      result.push_back(low);
      if (high.round != low.round) result.push_back(high);
    }
    if (gap != end) result.push_back(*gap);
  }
  return result;
}

void write_line_chart(Markup& page, const LineChart& chart) {
  Figure figure{.title = chart.title, .about = chart.about, .legend = {}};
  std::string summary = fmt::format("{} by round.", chart.title);
  for (const ChartLine& line : chart.lines) {
    const Point &first = line.points.front(), &last = line.points.back();
    figure.legend.push_back({line.label, measured(last.value), line_class(line.style)});
    summary += fmt::format(" {}: {} in round {}, {} in round {}.", line.label, measured(first.value), first.round,
                           measured(last.value), last.round);
  }
  const Axes axes = axes_of(chart.lines);
  write_figure(page, figure, [&] {
    const Plane plane{.summary = summary,
                      .x_name = "round",
                      .y_name = chart.y_name,
                      .x_ticks = ticks_of(axes.x),
                      .y_ticks = ticks_of(axes.y)};
    write_plane(page, plane, [&] {
      std::vector<std::vector<Point>> drawn;
      for (const ChartLine& line : chart.lines) drawn.push_back(thinned(line.points, max_buckets));
      for (std::size_t i = 0; i < drawn.size(); ++i)
        if (std::ranges::any_of(drawn[i], [](const Point& point) { return point.high > point.low; }))
          page.empty_element("path", {{"class", fmt::format("band c{}", chart.lines[i].style % num_colours)},
                                      {"d", band_of(drawn[i], axes)}});
      for (std::size_t i = 0; i < drawn.size(); ++i)
        page.empty_element("path", {{"class", line_class(chart.lines[i].style)}, {"d", path_of(drawn[i], axes)}});
      for (const ChartLine& line : chart.lines)
        if (line.points.size() <= max_dots) write_dots(page, line, axes);
    });
  });
}

}  // namespace fedmpi
