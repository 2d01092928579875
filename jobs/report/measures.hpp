#pragma once

#include "fedmpi/metrics.hpp"

#include <array>
#include <optional>
#include <span>

namespace fedmpi {

// What the rounds of a run are judged by.
struct Measure {
  const char* key;       // of a line of metrics: "central.accuracy"
  const char* source;    // "central", "evaluate" or "fit"
  const char* quantity;  // "accuracy"
  bool higher_is_better;
  std::optional<double> RoundMetrics::*value;
};

// In the order in which they are shown: those of one quantity beside each other.
inline constexpr std::array measures = {
    Measure{"central.accuracy", "central", "accuracy", true, &RoundMetrics::central_accuracy},
    Measure{"evaluate.accuracy", "evaluate", "accuracy", true, &RoundMetrics::evaluate_accuracy},
    Measure{"central.mean_absolute_error", "central", "mean absolute error", false,
            &RoundMetrics::central_mean_absolute_error},
    Measure{"evaluate.mean_absolute_error", "evaluate", "mean absolute error", false,
            &RoundMetrics::evaluate_mean_absolute_error},
    Measure{"central.loss", "central", "loss", false, &RoundMetrics::central_loss},
    Measure{"evaluate.loss", "evaluate", "loss", false, &RoundMetrics::evaluate_loss},
    Measure{"fit.loss", "fit", "loss", false, &RoundMetrics::fit_loss},
    Measure{"central.f1", "central", "F1", true, &RoundMetrics::central_f1},
    Measure{"evaluate.f1", "evaluate", "F1", true, &RoundMetrics::evaluate_f1},
};

// One line: what the quantity is.
const char* meaning(const Measure& measure);

// Whether any of the rounds has it.
bool is_measured(const Measure& measure, std::span<const RoundMetrics> rounds);

// The parts that a round's time is made of, in the order in which they happen; what remains is "other".
struct Phase {
  const char* name;
  std::optional<double> PhaseSeconds::*seconds;
};
inline constexpr std::array phases = {
    Phase{"broadcast", &PhaseSeconds::broadcast},   Phase{"fit", &PhaseSeconds::fit},
    Phase{"aggregate", &PhaseSeconds::aggregate},   Phase{"evaluate", &PhaseSeconds::evaluate},
    Phase{"checkpoint", &PhaseSeconds::checkpoint},
};

// Seconds in each phase, then in what remains of the rounds' total.
using PhaseTotals = std::array<double, phases.size() + 1>;
inline const char* phase_name(std::size_t i) {
  return i < phases.size() ? phases[i].name : "other";
}
PhaseTotals phase_totals(std::span<const RoundMetrics> rounds);

}  // namespace fedmpi
