#include "numbers.hpp"

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace fedmpi {

std::string grouped(std::int64_t value) {
  const std::string digits = fmt::format("{}", value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if ((digits.size() - i) % 3 == 0 && i > 0 && digits[i - 1] != '-') text += ',';
    text += digits[i];
  }
  return text;
}

std::string whole(double value) {
  return std::abs(value) < 1e15 ? grouped(std::llround(value)) : measured(value);
}

std::string measured(double value) {
  if (std::isnan(value)) return "NaN";
  return std::abs(value) < 1e6 ? fmt::format("{:.4f}", value) : fmt::format("{:.3e}", value);
}

std::string duration(double seconds) {
  if (!(std::abs(seconds) < 1e9)) return fmt::format("{:.3g} s", seconds);
  if (seconds < 0.0005)
    return seconds == 0.0 ? "0 s" : fmt::format("{:.{}f} µs", 1e6 * seconds, seconds < 1e-5 ? 1 : 0);
  if (seconds < 0.9995) return fmt::format("{:.{}f} ms", 1000 * seconds, seconds < 0.01 ? 1 : 0);
  if (seconds < 10) return fmt::format("{:.2f} s", seconds);
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::lround(seconds));
  if (whole < 7200) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string byte_size(double bytes) {
  constexpr std::array units = {"kB", "MB", "GB", "TB", "PB"};
  if (bytes < 1000) return fmt::format("{:.0f} B", bytes);
  std::size_t unit = 0;
  for (bytes /= 1000; bytes >= 999.95 && unit + 1 < units.size(); bytes /= 1000) ++unit;
  return fmt::format("{:.1f} {}", bytes, units[unit]);
}

std::string percentage(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

}  // namespace fedmpi
