#include "federation.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/log.hpp"
#include "fedmpi/sweep.hpp"
#include "node.hpp"
#include "protocol.hpp"
#include "sweep_table.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

namespace fedmpi {

namespace {

namespace fs = std::filesystem;

RunRequest request_of(const RunRequest& request, const SweepRun& run, const fs::path& output) {
  RunRequest own = request;
  own.settings.insert(own.settings.end(), run.settings.begin(), run.settings.end());
  own.output = output / run.label;
  if (own.mode == RunMode::resume) own.mode = RunMode::resume_or_start;  // it may not have begun
  return own;
}

std::string key_of(const std::string& setting) {
  return full_key(setting.substr(0, setting.find('=')));
}

void check_set_once(const RunRequest& request, const SweepRun& run) {
  for (const std::string& given : request.settings)
    for (const std::string& swept : run.settings)
      if (key_of(given) == key_of(swept))
        throw UserError(fmt::format("--set {} and --sweep both give {}: leave one of them out", given, key_of(given)));
}

void check_place(const fs::path& output) {
  if (fs::exists(output / "job.toml"))
    throw FileError(fmt::format("{} already holds a run: choose another directory with --output", output.string()),
                    output);
  if (::access(nearest_directory(output).c_str(), W_OK | X_OK) != 0)
    throw FileError(fmt::format("the output directory {} cannot be made or written to: choose another with --output",
                                output.string()),
                    output);
}

// Where the runs' directories will be. The ranks try the jobs together, each its share of them.
fs::path check_all(Communicator& world, RunRequest& request, std::span<const SweepRun> runs, int ranks_per_run) {
  share_job_text(world, request);
  fs::path output;
  agree(world, [&] {
    if (ranks_per_run > world.size())
      throw UserError(fmt::format("--ranks-per-run {} is more than the {} rank{} that {} started", ranks_per_run,
                                  world.size(), world.size() == 1 ? "" : "s", world.size() == 1 ? "was" : "were"));
    check_set_once(request, runs.front());
    output = request.output;
    if (output.empty()) output = requested_job(request).run.output;
    check_place(output);
    DeviceKind device{};
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const RunRequest own = request_of(request, runs[i], output);
      Job job = requested_job(own);
      if (i == 0) device = job.run.device;
      if (job.run.device != device)
        throw UserError("the runs of a sweep are to have one run.device: start those on GPUs and on CPUs apart");
      if (static_cast<int>(i % static_cast<std::size_t>(world.size())) != world.rank()) continue;
      if (request.mode == RunMode::start && fs::exists(own.output))
        throw FileError(
            fmt::format("{} exists: go on with the sweep by --resume, or choose another --output", own.output.string()),
            own.output);
      load_experiment(std::move(job), world.place_on_node());
    }
  });
  return output;
}

// On the group's server.
void tell(const SweepRun& run, const RunRequest& request, RunEnd end) {
  const auto last = last_round(request.output);
  log(LogLevel::info, fmt::format("{}: {}{}", run.label, last ? describe(*last) : "no round was ended",
                                  end == RunEnd::stopped ? "; stopped, go on with --resume" : ""));
}

}  // namespace

SweepEnd run_sweep(MpiSession& session, Communicator& world, const RunRequest& request, std::span<const SweepRun> runs,
                   int ranks_per_run) {
  RunRequest shared = request;
  const fs::path output = check_all(world, shared, runs, ranks_per_run);
  const int num_runs = static_cast<int>(runs.size());
  const int num_groups =
      std::clamp(ranks_per_run > 0 ? world.size() / ranks_per_run : num_runs, 1, std::min(num_runs, world.size()));
  const int group = static_cast<int>(std::int64_t{world.rank()} * num_groups / world.size());
  Communicator own(session, group);
  if (world.is_server())
    log(LogLevel::info, fmt::format("{} runs, {} at a time on {} ranks, output in {}", num_runs, num_groups,
                                    world.size(), output.string()));

  SweepEnd result;
  for (int i = group; i < num_runs && !result.is_stopped; i += num_groups) {
    const SweepRun& run = runs[static_cast<std::size_t>(i)];
    const RunRequest request_of_run = request_of(shared, run, output);
    set_log_rank(own.rank(), own.size());
    set_log_label(run.label);
    std::string failure;
    try {
      const RunEnd end = run_federation(own, request_of_run);
      result.is_stopped = end == RunEnd::stopped;
      close_log();
      set_log_label("");
      if (own.is_server()) tell(run, request_of_run, end);
    } catch (const AgreedError& error) {
      result.has_failed = true;
      if (own.is_server()) log(LogLevel::error, error.what());
      close_log(own.is_server() ? "" : error.what());
      set_log_label("");
    }
  }

  // A launcher ends all ranks when one of them ends with an error: nobody leaves before the others are done.
  bool is_whole = true;
  try {
    agree(world, [] {});
  } catch (const RankLost&) {
    is_whole = false;
  }
  if (world.meet(is_whole ? leaving : elsewhere) != leaving) world.shrink();
  set_log_rank(world.rank(), world.size());
  if (!world.is_server()) return result;
  std::vector<std::optional<RoundMetrics>> last;
  for (const SweepRun& run : runs) {
    last.push_back(last_round(output / run.label));
    if (is_whole || result.is_stopped) continue;
    // The ranks that were to make it may all have been lost.
    const int num_rounds = requested_job(request_of(shared, run, output)).run.rounds;
    if (!last.back() || last.back()->round < num_rounds) result.has_failed = true;
  }
  log(LogLevel::info, "the sweep:\n" + sweep_table(runs, last));
  return result;
}

}  // namespace fedmpi
