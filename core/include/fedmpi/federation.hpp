#pragma once

#include "fedmpi/communicator.hpp"
#include "fedmpi/export.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace fedmpi {

enum class RunMode { start, resume, resume_or_start, verify };
enum class OnSignal { abandon, finish };  // the round in which SIGINT, SIGTERM or SIGUSR1 arrives

// What is asked for on the command line, the same on every rank.
struct RunRequest {
  std::filesystem::path job;          // TOML file, or the checkpoint to verify; read by rank 0 alone
  std::string text;                   // of the job, where it has been read
  std::vector<std::string> settings;  // "section.key=value", in place of the file's
  std::filesystem::path output;       // in place of run.output, unless empty
  std::vector<std::filesystem::path> plugin_directories;  // searched before the job's
  bool trust_plugins = false;                             // load them even where others could change them
  RunMode mode = RunMode::start;
  OnSignal on_signal = OnSignal::abandon;
  int num_rounds = 0;       // to verify at most, 0: all
  bool from_start = false;  // verify from round 0, even where an older checkpoint could serve
};

enum class RunEnd { done, stopped };  // stopped: by a signal or for lack of time; its last round is in a checkpoint

// Runs a job from its first round, or from its newest checkpoint, to its last (resume_or_start: from the newest
// checkpoint where the output directory has one); or a checkpoint's job again up to that
// checkpoint, comparing digests: then it writes nothing. Every rank calls this. Throws AgreedError on all ranks
// together; anything else is one rank's own failure, after which the job must be aborted. Where MPI survives the death
// of ranks (`mpirun --with-ft ulfm`) the others go on: with the lost clients of the round, or, when rank 0 died, as its
// lowest survivor, from the newest checkpoint.
FEDMPI_API RunEnd run_federation(Communicator& communicator, RunRequest request);

}  // namespace fedmpi
