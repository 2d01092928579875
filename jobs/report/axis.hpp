#pragma once

#include <string>
#include <vector>

namespace fedmpi {

// A range of values and the round numbers on it that are worth a line.
struct Axis {
  double low = 0.0, high = 1.0;  // finite, low < high
  std::vector<double> ticks;     // ascending, within
  int decimals = 0;              // that tell neighbouring ticks apart

  double position(double value) const { return (value - low) / (high - low); }  // 0 at low, 1 at high
  std::string label(double tick) const;
};

// Whether a value can be drawn: finite, and so is its distance from any other such value.
bool is_drawable(double value);

// For values: begins and ends with a tick; steps of 1, 2 or 5 times a power of ten, about `wanted` of them. low <=
// high, both drawable.
Axis value_axis(double low, double high, int wanted);

// For rounds: begins and ends with them, ticks at whole numbers, at most `most` of them.
Axis round_axis(double first, double last, int most);

}  // namespace fedmpi
