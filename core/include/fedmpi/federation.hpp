#pragma once

#include "fedmpi/communicator.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/export.hpp"

#include <memory>

namespace fedmpi {

enum class StartMode { fresh, resume };

// Runs a job from its first round, or from its newest checkpoint, to its last: every rank calls this, and every
// collective of a run happens in federation.cpp. Throws AgreedError on all ranks together; anything else is one rank's
// own failure, after which the job must be aborted.
FEDMPI_API void run_federation(Communicator& communicator, Experiment& experiment, StartMode mode);

}  // namespace fedmpi
