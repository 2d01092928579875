#pragma once

#include "fedmpi/check.hpp"
#include "fedmpi/federation.hpp"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <CLI/App.hpp>

namespace fedmpi {

// The exit status of a run that was stopped by a signal or for lack of time and can be resumed.
inline constexpr int stopped_status = 3;

// The rank the launcher gave this process, before MPI is initialised.
int launcher_rank();

// The options --plugins and --trust-plugins of a verb that loads plugins for a job.
void add_plugin_options(CLI::App& command, std::vector<std::filesystem::path>& directories, bool& trust);

// One sentence for the user, and the log's last words.
void complain(const std::string& message);

// Initialises MPI, runs the request on this rank and ends MPI in order. Returns the exit status. An error that all
// ranks agreed on is complained about once, and before any rank ends: a launcher kills the others when one fails.
int launch(const RunRequest& request, int& argc, char**& argv);
// The same for a request that is repeated with other values of some keys, see sweep_runs and run_sweep.
int launch_sweep(const RunRequest& request, const std::vector<std::string>& sweeps, int ranks_per_run, int& argc,
                 char**& argv);
// The same for a check. `print` is called on rank 0, while MPI is there.
int launch(const CheckRequest& request, int& argc, char**& argv, const std::function<void(const CheckReport&)>& print);

}  // namespace fedmpi
