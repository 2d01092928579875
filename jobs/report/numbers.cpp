#include "numbers.hpp"

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

std::string percentage(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

}  // namespace fedmpi
