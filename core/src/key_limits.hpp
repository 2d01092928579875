#pragma once

#include <limits>

namespace fedmpi {

// Ends of the ranges of keys.
inline constexpr double unbounded = std::numeric_limits<double>::infinity();
inline constexpr double int_maximum = std::numeric_limits<int>::max();

}  // namespace fedmpi
