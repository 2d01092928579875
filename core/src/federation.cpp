#include "fedmpi/federation.hpp"

#include "fedmpi/checkpoint.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/log.hpp"
#include "protocol.hpp"

#include <filesystem>
#include <optional>
#include <string>

#include <fmt/format.h>

namespace fedmpi {

namespace {

// One rank reads the file: others may not see it, or see an older one. Where `text` has been read it is kept: a run
// that starts over is the run that it was.
Experiment make_experiment(Communicator& communicator, const RunRequest& request, std::string& text) {
  agree(communicator, [&] {
    if (!communicator.is_server() || !text.empty()) return;
    text = request.mode == RunMode::verify ? load_checkpoint(request.job).job : read_job_file(request.job);
  });
  communicator.broadcast(text);
  Experiment experiment;
  agree(communicator, [&] {
    Job job = parse_job(text, request.job.string(), request.settings);
    if (!request.output.empty()) job.run.output = request.output;
    job.plugin_directories.insert(job.plugin_directories.begin(), request.plugin_directories.begin(),
                                  request.plugin_directories.end());
    job.trust_plugins = request.trust_plugins;
    experiment = load_experiment(std::move(job));
  });
  return experiment;
}

}  // namespace

RunEnd run_federation(Communicator& communicator, RunRequest request) {
  const auto start = TimeLimit::Clock::now();
  std::string text;  // of the job
  for (;;) {
    bool begun = false;
    std::filesystem::path output;
    try {
      std::optional<AgreedError> error;
      RunEnd end = RunEnd::done;
      try {
        Experiment experiment = make_experiment(communicator, request, text);
        output = experiment.job.run.output;
        end = Protocol(communicator, experiment, request, start).run(begun);
      } catch (const AgreedError& agreed) {
        error = agreed;
      }
      // Some may have lost a rank in the very last collective.
      if (communicator.meet(leaving) == leaving) {
        if (error) throw *error;
        return end;
      }
      communicator.shrink();
    } catch (const RankLost&) {
      communicator.revoke();
      communicator.meet(elsewhere);
      communicator.shrink();
    } catch (const StartOver& how) {
      if (!how.ranks_are_shrunk) communicator.shrink();
    }
    set_log_rank(communicator.rank(), communicator.size());
    if (!communicator.is_server()) continue;
    const bool can_resume = begun && !list_checkpoints(output / "checkpoints").empty();
    if (request.mode == RunMode::start && can_resume) request.mode = RunMode::resume;
    log(LogLevel::warning, fmt::format("ranks were lost: the other {} go on from {}", communicator.size(),
                                       request.mode == RunMode::start ? "the start" : "the newest checkpoint"));
  }
}

}  // namespace fedmpi
