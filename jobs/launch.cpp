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

int launch(const RunRequest& request, int& argc, char**& argv) {
  const MpiSession session(argc, argv);
  Communicator communicator(session);
  set_log_rank(communicator.rank(), communicator.size());
  try {
    return run_federation(communicator, request) == RunEnd::done ? 0 : stopped_status;
  } catch (const AgreedError& error) {
    if (communicator.is_server()) complain(error.what());
    close_log(error.what());
    return error.is_user_error ? 2 : 1;
  }
}

}  // namespace fedmpi
