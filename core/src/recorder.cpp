#include "recorder.hpp"

#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/log.hpp"
#include "resume.hpp"
#include "whole_file.hpp"

#include <fstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

namespace fedmpi {

namespace fs = std::filesystem;

namespace {

bool same_layout(const Layout& a, const Layout& b) {
  if (a.num_tensors() != b.num_tensors() || a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.num_tensors(); ++i)
    if (a.spec(i).name != b.spec(i).name || a.spec(i).shape != b.spec(i).shape || a.spec(i).role != b.spec(i).role)
      return false;
  return true;
}

void check_usable(const fs::path& directory) {
  std::error_code error;
  if (fs::is_regular_file(directory, error))
    throw FileError(fmt::format("{} is a file: choose a directory with --output", directory.string()), directory);
  // The nearest part that is there must be a directory that can be written to.
  for (fs::path part = fs::absolute(directory); part != part.root_path(); part = part.parent_path()) {
    if (fs::symlink_status(part, error).type() == fs::file_type::not_found) continue;
    const bool usable = fs::is_directory(part, error) && ::access(part.c_str(), W_OK | X_OK) == 0;
    if (usable) break;
    throw FileError(fmt::format("the output directory {} cannot be made or written to: choose another with --output",
                                directory.string()),
                    directory);
  }
  for (const char* part : {"log", "checkpoints"})
    if (fs::exists(directory / part, error) && !fs::is_directory(directory / part, error))
      throw FileError(fmt::format("{} is in the way, it is not a directory: choose another directory with --output",
                                  (directory / part).string()),
                      directory);
}

// What a checkpoint's history cannot hold yet: how long the checkpoint itself took.
void take_last_line(const fs::path& metrics, std::vector<std::string>& history) {
  std::ifstream file(metrics);
  std::string line;
  for (std::size_t i = 0; i < history.size(); ++i)
    if (!std::getline(file, line)) return;
  try {
    const RoundMetrics recorded = from_json_line(line), kept = from_json_line(history.back());
    if (recorded.round == kept.round && recorded.digest == kept.digest) history.back() = line;
  } catch (const Error&) {
    return;  // the file was cut short
  }
}

// One line for the terminal.
std::string round_line(const RoundMetrics& metrics, int num_rounds) {
  std::string line = fmt::format("round {}/{}", metrics.round, num_rounds);
  if (metrics.clients) line += fmt::format(", {} clients", *metrics.clients);
  if (metrics.failures.value_or(0) > 0) line += fmt::format(", {} failed", *metrics.failures);
  if (metrics.fit_loss) line += fmt::format(", fit loss {:.4f}", *metrics.fit_loss);
  if (metrics.evaluate_accuracy) line += fmt::format(", federated accuracy {:.4f}", *metrics.evaluate_accuracy);
  if (metrics.central_accuracy) line += fmt::format(", central accuracy {:.4f}", *metrics.central_accuracy);
  return line + fmt::format(", digest {:.12}, {:.1f} s", metrics.digest, metrics.seconds.total);
}

}  // namespace

void Recorder::check_fresh(const fs::path& directory) {
  check_usable(directory);
  const fs::path metrics = directory / "metrics.jsonl", checkpoints = directory / "checkpoints";
  std::error_code error;
  // What a run leaves that was ended before its round 0 was done.
  if (fs::file_size(metrics, error) == 0 && !error && list_checkpoints(checkpoints).empty()) return;
  for (const fs::path& part : {directory / "job.toml", metrics, checkpoints})
    if (fs::exists(part, error))
      throw FileError(fmt::format("{} already holds a run: choose another directory with --output, or go on with "
                                  "that run by --resume",
                                  directory.string()),
                      directory);
}

Checkpoint Recorder::load_for_resume(const Experiment& experiment) {
  const fs::path& directory = experiment.job.run.output;
  check_usable(directory);
  auto checkpoint = load_newest_checkpoint(directory / "checkpoints");
  if (!checkpoint)
    throw FileError(
        fmt::format("{} holds no checkpoint to resume from: start the run without --resume", directory.string()),
        directory);
  const auto refuse = [&](const std::string& why) {
    throw FileError(fmt::format("the run in {} cannot be resumed: {}", directory.string(), why), directory);
  };
  if (checkpoint->round > experiment.job.run.rounds)
    refuse(fmt::format("it has done {} rounds, and run.rounds is {}: ask for more, or start a new run with --output",
                       checkpoint->round, experiment.job.run.rounds));
  const auto differing = differing_keys(experiment.resolved_job, checkpoint->job);
  if (!differing.empty())
    refuse(fmt::format("this job is another one in {}: set what its job.toml says, or start a new run with --output",
                       fmt::join(differing, ", ")));
  if (checkpoint->dataset_digest != experiment.dataset->digest())
    refuse("the dataset's content has changed since: bring back the one it was started with");
  if (!same_layout(checkpoint->layout, experiment.model->layout()))
    refuse(
        "the model's tensors have other names or shapes than the checkpoint's: use the plugin and files it was started "
        "with");
  if (checkpoint->model_digest != experiment.model->digest())
    refuse("the model's configuration has changed since: bring back the files it was started with");
  const auto other = differing_versions(experiment.versions, checkpoint->versions);
  if (!other.empty())
    log(LogLevel::warning,
        fmt::format("the run was started with another {}: it goes on, but not bit for bit", fmt::join(other, ", ")));
  if (!checkpoint->history.empty()) take_last_line(directory / "metrics.jsonl", checkpoint->history);
  return std::move(*checkpoint);
}

Recorder::Recorder(const Experiment& experiment, std::vector<std::string> history)
    : directory_{experiment.job.run.output}, history_{std::move(history)} {
  for (const std::string& line : history_) rounds_.push_back(from_json_line(line));
  fs::create_directories(directory_ / "checkpoints");
  if (!rounds_.empty()) set_aside_checkpoints(directory_ / "checkpoints", rounds_.back().round + 1);
  // First: a directory whose metrics are empty is known to be a run's that did not come far.
  metrics_ = std::make_unique<MetricsWriter>(directory_, history_);
  write_whole_file(directory_ / "job.toml", experiment.resolved_job);
}

Recorder::~Recorder() = default;

void Recorder::finish_round(RoundMetrics metrics, const Experiment& experiment, const at::Tensor& global,
                            const Stopwatch& stopwatch) {
  const Job& job = experiment.job;
  metrics.digest = digest(global);
  const bool last = metrics.round == job.run.rounds;
  // After round 0 too: a run that is ended before its first round does not have to start again.
  if (metrics.round == 0 || last || (job.checkpoint.every != 0 && metrics.round % job.checkpoint.every == 0)) {
    const Stopwatch checkpoint_stopwatch;
    metrics.seconds.total = stopwatch.seconds();
    save(metrics, experiment, global);
    metrics.seconds.checkpoint = checkpoint_stopwatch.seconds();
  }
  metrics.seconds.total = stopwatch.seconds();
  metrics_->write(metrics);
  history_.push_back(to_json_line(metrics));
  log(LogLevel::info, round_line(metrics, job.run.rounds));
  rounds_.push_back(std::move(metrics));
}

void Recorder::save(const RoundMetrics& metrics, const Experiment& experiment, const at::Tensor& global) const {
  std::vector<std::string> history = history_;
  history.push_back(to_json_line(metrics));
  const fs::path checkpoints = directory_ / "checkpoints";
  save_checkpoint(checkpoint_path(checkpoints, metrics.round), {.round = metrics.round,
                                                                .digest = metrics.digest,
                                                                .layout = experiment.model->layout(),
                                                                .parameters = global,
                                                                .strategy_state = experiment.strategy->state(),
                                                                .job = experiment.resolved_job,
                                                                .dataset_digest = experiment.dataset->digest(),
                                                                .model_digest = experiment.model->digest(),
                                                                .history = std::move(history),
                                                                .versions = experiment.versions});
  prune_checkpoints(checkpoints, experiment.job.checkpoint.keep);
}

}  // namespace fedmpi
