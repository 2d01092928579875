#include "launch.hpp"

#include "fedmpi/communicator.hpp"
#include "fedmpi/log.hpp"

#include <optional>

namespace fedmpi {

int launch(const RunRequest& request, int& argc, char**& argv) {
  std::optional<AgreedError> agreed;
  RunEnd end = RunEnd::done;
  {
    const MpiSession session(argc, argv);
    Communicator communicator(session);
    set_log_rank(communicator.rank(), communicator.size());
    try {
      end = run_federation(communicator, request);
    } catch (const AgreedError& error) {
      // Every rank is here: MPI ends in order, and only then the error goes on its way.
      agreed = error;
    }
  }
  if (agreed) throw *agreed;
  return end == RunEnd::done ? 0 : stopped_status;
}

}  // namespace fedmpi
