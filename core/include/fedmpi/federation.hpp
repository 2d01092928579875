#pragma once

#include "fedmpi/communicator.hpp"
#include "fedmpi/export.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace fedmpi {

enum class StartMode { fresh, resume };

// What is asked for on the command line, the same on every rank.
struct RunRequest {
  std::filesystem::path job;                              // TOML file, read by rank 0 alone
  std::vector<std::string> settings;                      // "section.key=value", in place of the file's
  std::filesystem::path output;                           // in place of run.output, unless empty
  std::vector<std::filesystem::path> plugin_directories;  // searched before the job's
  StartMode mode = StartMode::fresh;
};

// Runs a job from its first round, or from its newest checkpoint, to its last: every rank calls this, and every
// collective of a run happens in federation.cpp. Throws AgreedError on all ranks together; anything else is one rank's
// own failure, after which the job must be aborted.
FEDMPI_API void run_federation(Communicator& communicator, const RunRequest& request);

}  // namespace fedmpi
