#pragma once

#include "markup.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace fedmpi {

struct Point {
  int round = 0;
  double value = 0.0;            // one that cannot be drawn interrupts the line
  double low = 0.0, high = 0.0;  // of the band around the line; both the value where there is none
};

struct ChartLine {
  std::string label;
  std::size_t style = 0;      // see line_class
  std::vector<Point> points;  // by ascending round, at least one
};

struct LineChart {
  std::string title, about, y_name;
  std::vector<ChartLine> lines;
};

// At most 2 * `buckets` points that look the same: of each bucket of rounds the lowest and the highest.
std::vector<Point> thinned(const std::vector<Point>& points, std::size_t buckets);

void write_line_chart(Markup& page, const LineChart& chart);

}  // namespace fedmpi
