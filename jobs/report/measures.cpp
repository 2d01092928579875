#include "measures.hpp"

#include <algorithm>
#include <string_view>

namespace fedmpi {

const char* meaning(const Measure& measure) {
  const std::string_view quantity = measure.quantity;
  if (quantity == "accuracy") return "share of examples judged right";
  if (quantity == "F1") return "mean of the labels' F1";
  if (quantity == "mean absolute error") return "mean distance from the targets";
  return "mean over examples";
}

bool is_measured(const Measure& measure, std::span<const RoundMetrics> rounds) {
  return std::ranges::any_of(rounds, [&](const RoundMetrics& metrics) { return (metrics.*measure.value).has_value(); });
}

PhaseTotals phase_totals(std::span<const RoundMetrics> rounds) {
  PhaseTotals totals{};
  for (const RoundMetrics& metrics : rounds) {
    double rest = metrics.seconds.total;
    for (std::size_t i = 0; i < phases.size(); ++i) {
      const double seconds = (metrics.seconds.*phases[i].seconds).value_or(0.0);
      totals[i] += seconds;
      rest -= seconds;
    }
    totals.back() += std::max(rest, 0.0);
  }
  return totals;
}

}  // namespace fedmpi
