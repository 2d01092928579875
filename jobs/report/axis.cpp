#include "axis.hpp"

#include "numbers.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <fmt/format.h>

namespace fedmpi {

namespace {

// The least of 1, 2, 5 times a power of ten that is not below.
double round_step(double step) {
  const double power = std::pow(10.0, std::floor(std::log10(step)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= step * (1 - 1e-9)) return factor * power;
  return 10 * power;
}

void add_ticks(Axis& axis, double step) {
  const double first = std::ceil(axis.low / step - 1e-6), last = std::floor(axis.high / step + 1e-6);
  for (double i = first; i <= last; ++i) axis.ticks.push_back(i * step);
  axis.decimals = std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 12);
}

}  // namespace

std::string Axis::label(double tick) const {
  const double largest = std::max(std::abs(low), std::abs(high));
  if (largest >= 1e7 || (decimals > 6 && largest < 1e-3)) return fmt::format("{:.2g}", tick);
  if (decimals == 0) return grouped(static_cast<std::int64_t>(std::lround(tick)));
  // No "-0.0".
  return fmt::format("{:.{}f}", std::abs(tick) < 0.5 * std::pow(10.0, -decimals) ? 0.0 : tick, decimals);
}

bool is_drawable(double value) {
  return std::abs(value) < 1e300;
}

Axis value_axis(double low, double high, int wanted) {
  // A range too narrow for its values' own precision, or none.
  const double least = std::max(1e-9 * std::max(std::abs(low), std::abs(high)), 1e-290);
  if (high - low < least) {
    const double margin = low == 0.0 ? 0.5 : 0.05 * std::abs(low);
    low -= margin;
    high += margin;
  }
  const double step = round_step((high - low) / wanted);
  Axis axis{.low = step * std::floor(low / step + 1e-6), .high = step * std::ceil(high / step - 1e-6)};
  add_ticks(axis, step);
  return axis;
}

Axis round_axis(double first, double last, int most) {
  Axis axis{.low = first, .high = std::max(last, first + 1)};
  add_ticks(axis, std::max(1.0, round_step((axis.high - axis.low) / (most - 1))));
  return axis;
}

}  // namespace fedmpi
