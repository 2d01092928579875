#include "launch.hpp"

#include "fedmpi/communicator.hpp"
#include "fedmpi/log.hpp"

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

namespace fedmpi {

int launcher_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (const char* rank = std::getenv(variable)) return std::atoi(rank);
  return 0;
}

void complain(const std::string& message) {
  close_log(message);
  fmt::print(stderr, "fedmpi: {}\n", message);
}

namespace {

int run(Communicator& communicator, const RunRequest& request) {
  set_log_rank(communicator.rank(), communicator.size());
  try {
    return run_federation(communicator, request) == RunEnd::done ? 0 : stopped_status;
  } catch (const AgreedError& error) {
    if (communicator.is_server()) complain(error.what());
    close_log(error.what());
    return error.is_user_error ? 2 : 1;
  }
}

}  // namespace

int launch(const RunRequest& request, int& argc, char**& argv) {
  MpiSession session(argc, argv);
  try {
    Communicator communicator(session);
    return run(communicator, request);
  } catch (const RankLost&) {
    complain("a rank was lost before the run began");
    MpiSession::abort(1);
  }
}

}  // namespace fedmpi
