#include "launch.hpp"

#include "fedmpi/communicator.hpp"
#include "fedmpi/log.hpp"
#include "fedmpi/sweep.hpp"

#include <cstdio>
#include <cstdlib>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace fedmpi {

int launcher_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (const char* rank = std::getenv(variable)) return std::atoi(rank);
  return 0;
}

void add_plugin_options(CLI::App& command, std::vector<std::filesystem::path>& directories, bool& trust) {
  command.add_option("--plugins", directories, "look for plugins here first (repeatable)")
      ->type_name("DIR")
      ->allow_extra_args(false);
  command.add_flag("--trust-plugins", trust, "load plugins that other users could change");
}

void complain(const std::string& message) {
  close_log(message);
  fmt::print(stderr, "fedmpi: {}\n", message);
}

namespace {

// Calls work(session, communicator), which returns the exit status, on every rank.
template <class Work>
int launch_with(int& argc, char**& argv, Work work) {
  MpiSession session(argc, argv);
  try {
    Communicator communicator(session);
    set_log_rank(communicator.rank(), communicator.size());
    try {
      return work(session, communicator);
    } catch (const AgreedError& error) {
      if (communicator.is_server()) complain(error.what());
      close_log(error.what());
      return error.is_user_error ? 2 : 1;
    }
  } catch (const RankLost&) {
    complain("a rank was lost before the run began");
    MpiSession::abort(1);
  }
}

}  // namespace

int launch(const RunRequest& request, int& argc, char**& argv) {
  return launch_with(argc, argv, [&](MpiSession&, Communicator& communicator) {
    return run_federation(communicator, request) == RunEnd::done ? 0 : stopped_status;
  });
}

int launch_sweep(const RunRequest& request, const std::vector<std::string>& sweeps, int ranks_per_run, int& argc,
                 char**& argv) {
  const std::vector<SweepRun> runs = sweep_runs(sweeps);
  return launch_with(argc, argv, [&](MpiSession& session, Communicator& communicator) {
    const SweepEnd end = run_sweep(session, communicator, request, runs, ranks_per_run);
    if (end.has_failed) return 1;
    return end.is_stopped ? stopped_status : 0;
  });
}

int launch(const CheckRequest& request, int& argc, char**& argv, const std::function<void(const CheckReport&)>& print) {
  return launch_with(argc, argv, [&](MpiSession&, Communicator& communicator) {
    if (const auto report = check_federation(communicator, request)) print(*report);
    return 0;
  });
}

}  // namespace fedmpi
