#include "fedmpi/quantity_text.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <fmt/format.h>

namespace fedmpi {

std::string bytes_text(std::int64_t bytes) {
  static constexpr std::array units = {"kB", "MB", "GB", "TB", "PB"};
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < units.size(); value /= 1000) ++unit;
  return fmt::format("{:.{}f} {}", value, value < 99.95 ? 1 : 0, units[unit]);
}

std::string seconds_text(double seconds) {
  if (!(std::abs(seconds) < 1e9)) return fmt::format("{:.3g} s", seconds);
  if (seconds < 0.0005)
    return seconds == 0.0 ? "0 s" : fmt::format("{:.{}f} µs", 1e6 * seconds, seconds < 1e-5 ? 1 : 0);
  if (seconds < 0.9995) return fmt::format("{:.{}f} ms", 1000 * seconds, seconds < 0.01 ? 1 : 0);
  if (seconds < 9.995) return fmt::format("{:.2f} s", seconds);
  if (seconds < 119.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::lround(seconds));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const std::int64_t hours = whole / 3600;
  if (hours < 48) return fmt::format("{} h {:02} min", hours, whole % 3600 / 60);
  return fmt::format("{} days {:02} h", hours / 24, hours % 24);
}

}  // namespace fedmpi
