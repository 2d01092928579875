#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/metrics.hpp"
#include "fedmpi/sweep.hpp"

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

// The newest round in DIR/metrics.jsonl; none where there is no such file, or nothing whole in it.
FEDMPI_API std::optional<RoundMetrics> last_round(const std::filesystem::path& directory);

// "round 3, central accuracy 0.8290, digest fb99624f8ee6"
FEDMPI_API std::string describe(const RoundMetrics& metrics);

// What the runs came to, a line each, and where they differ by their seed too, mean and standard deviation (of a
// sample) over the seeds of what is otherwise the same. `last`: of each run.
FEDMPI_API std::string sweep_table(std::span<const SweepRun> runs, std::span<const std::optional<RoundMetrics>> last);

}  // namespace fedmpi
