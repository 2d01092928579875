#pragma once

#include "fedmpi/communicator.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/federation.hpp"

#include <span>
#include <string>
#include <vector>

namespace fedmpi {

// One of the runs that a job is repeated in, with other values of some keys.
struct SweepRun {
  std::string label;                  // what tells it from the others, and its directory: "strategy=fedprox,seed=2"
  std::vector<std::string> settings;  // as RunRequest::settings
};

// Every combination of the values of `sweeps`, each "section.key=value,value...", the last key's changing fastest.
// Commas within quotes, brackets and braces belong to a value. UserError when one is not of that form.
FEDMPI_API std::vector<SweepRun> sweep_runs(std::span<const std::string> sweeps);

struct SweepEnd {
  bool is_stopped = false;  // by a signal or for lack of time
  bool has_failed = false;  // one run or more, for whatever reason; the others were made all the same
};

// Deals the runs out to groups of ranks, as many at a time as there are ranks_per_run (0: as few as make all runs start
// at once), and runs each as run_federation does, in request.output (or run.output) / label. Every job is loaded and
// checked before the first begins. With RunMode::resume those that have a checkpoint go on from it. Every rank calls
// this; the result is that of the rank's own group. Throws as run_federation does.
FEDMPI_API SweepEnd run_sweep(MpiSession& session, Communicator& world, const RunRequest& request,
                              std::span<const SweepRun> runs, int ranks_per_run);

}  // namespace fedmpi
