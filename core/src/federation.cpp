#include "federation.hpp"

#include "fedmpi/check.hpp"
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

Experiment make_experiment(Communicator& communicator, RunRequest& request) {
  share_job_text(communicator, request);
  Experiment experiment;
  agree(communicator, [&] { experiment = load_experiment(requested_job(request), communicator.place_on_node()); });
  return experiment;
}

}  // namespace

void share_job_text(Communicator& communicator, RunRequest& request) {
  agree(communicator, [&] {
    if (!communicator.is_server() || !request.text.empty()) return;
    request.text = request.mode == RunMode::verify ? load_checkpoint(request.job).job : read_job_file(request.job);
  });
  std::string text = request.text;
  communicator.broadcast(text);  // which may leave it half written where a rank is lost
  request.text = std::move(text);
}

Job requested_job(const RunRequest& request) {
  Job job = parse_job(request.text, request.job.string(), request.settings);
  if (!request.output.empty()) job.run.output = request.output;
  job.plugin_directories.insert(job.plugin_directories.begin(), request.plugin_directories.begin(),
                                request.plugin_directories.end());
  job.trust_plugins = request.trust_plugins;
  return job;
}

RunEnd run_federation(Communicator& communicator, RunRequest request) {
  const auto start = TimeLimit::Clock::now();
  // Of any attempt: the next server may be lost before it has come as far as the one before.
  bool begun = false;
  std::filesystem::path output;
  for (;;) {
    try {
      std::optional<AgreedError> error;
      RunEnd end = RunEnd::done;
      try {
        Experiment experiment = make_experiment(communicator, request);
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
    const bool starts = request.mode == RunMode::start || request.mode == RunMode::resume_or_start;
    const bool may_resume = (request.mode == RunMode::start && begun) || request.mode == RunMode::resume_or_start;
    const bool resumes = may_resume && !list_checkpoints(output / "checkpoints").empty();
    if (resumes) request.mode = RunMode::resume;
    log(LogLevel::warning, fmt::format("ranks were lost: the other {} go on from {}", communicator.size(),
                                       starts && !resumes ? "the start" : "the newest checkpoint"));
  }
}

std::optional<CheckReport> check_federation(Communicator& communicator, const CheckRequest& request) {
  const Stopwatch stopwatch;
  RunRequest run = request.run;
  Experiment experiment = make_experiment(communicator, run);
  return Protocol(communicator, experiment, run, TimeLimit::Clock::now()).check(request, stopwatch);
}

}  // namespace fedmpi
