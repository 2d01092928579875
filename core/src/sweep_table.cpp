#include "sweep_table.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

// What says best how good a model is: of the central test set if there is one.
struct Quality {
  const char* name;
  std::optional<double> RoundMetrics::*value;
};
constexpr Quality qualities[] = {{"central accuracy", &RoundMetrics::central_accuracy},
                                 {"central abs. error", &RoundMetrics::central_mean_absolute_error},
                                 {"central loss", &RoundMetrics::central_loss},
                                 {"evaluate accuracy", &RoundMetrics::evaluate_accuracy},
                                 {"evaluate abs. error", &RoundMetrics::evaluate_mean_absolute_error},
                                 {"evaluate loss", &RoundMetrics::evaluate_loss},
                                 {"fit loss", &RoundMetrics::fit_loss}};

const Quality* quality_of(const RoundMetrics& metrics) {
  const auto* found =
      std::ranges::find_if(qualities, [&](const Quality& quality) { return (metrics.*quality.value).has_value(); });
  return found == std::ranges::end(qualities) ? nullptr : found;
}

bool is_seed(const std::string& setting) {
  return setting.starts_with("seed=") || setting.starts_with("run.seed=");
}

// Of a run, without its seed.
std::string all_but_seed(const SweepRun& run) {
  std::vector<std::string> others;
  for (const std::string& setting : run.settings)
    if (!is_seed(setting)) others.push_back(setting);
  return fmt::format("{}", fmt::join(others, " "));
}

std::string over_seeds(const std::vector<double>& values) {
  double mean = 0.0, squares = 0.0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean);
  return fmt::format("{:.4f} +- {:.4f} over {} seeds", mean,
                     std::sqrt(squares / static_cast<double>(values.size() - 1)), values.size());
}

}  // namespace

std::optional<RoundMetrics> last_round(const std::filesystem::path& directory) {
  std::ifstream file(directory / "metrics.jsonl");
  std::optional<RoundMetrics> last;
  for (std::string line; std::getline(file, line);) {
    try {
      last = from_json_line(line);
    } catch (const std::exception&) {  // cut short by what ended the run
      break;
    }
  }
  return last;
}

std::string describe(const RoundMetrics& metrics) {
  std::string text = fmt::format("round {}", metrics.round);
  if (const Quality* quality = quality_of(metrics))
    text += fmt::format(", {} {:.4f}", quality->name, *(metrics.*quality->value));
  return text + fmt::format(", digest {:.12}", metrics.digest);
}

std::string sweep_table(std::span<const SweepRun> runs, std::span<const std::optional<RoundMetrics>> last) {
  std::size_t width = 0;
  for (const SweepRun& run : runs) width = std::max(width, run.label.size());
  std::string table;
  std::map<std::string, std::vector<double>> same_but_seed;
  const Quality* common = nullptr;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    table += fmt::format("{:{}}  {}\n", runs[i].label, width, last[i] ? describe(*last[i]) : "did not begin");
    if (!last[i]) continue;
    if (common == nullptr) common = quality_of(*last[i]);
    if (common != nullptr && (*last[i].*common->value).has_value())
      same_but_seed[all_but_seed(runs[i])].push_back(*(*last[i].*common->value));
  }
  std::string means;
  for (const auto& [settings, values] : same_but_seed)
    if (values.size() > 1) means += fmt::format("{}{}{}\n", settings, settings.empty() ? "" : ": ", over_seeds(values));
  return means.empty() ? table : fmt::format("{}{}, mean +- standard deviation:\n{}", table, common->name, means);
}

}  // namespace fedmpi
