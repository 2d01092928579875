#include "recorder.hpp"

#include "client_states.hpp"
#include "differences.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/log.hpp"
#include "partition_statistics.hpp"
#include "whole_file.hpp"

#include <cerrno>
#include <chrono>
#include <fstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

namespace fedmpi {

namespace fs = std::filesystem;

namespace {

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

// Where permission is not all that it takes: in /proc, on a full disk.
void make_directory(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (!error) return;
  const std::string sentence = fmt::format("the output directory {} cannot be made ({}): choose another with --output",
                                           directory.string(), error.message());
  for (const int not_a_mistake : {ENOSPC, EDQUOT, EIO})
    if (error.value() == not_a_mistake) throw Error(sentence);
  throw FileError(sentence, directory);
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
  if (const auto& error = metrics.evaluate_mean_absolute_error) line += fmt::format(", federated error {:.4f}", *error);
  if (const auto& error = metrics.central_mean_absolute_error) line += fmt::format(", central error {:.4f}", *error);
  return line + fmt::format(", digest {:.12}, {:.1f} s", metrics.digest, metrics.seconds.total);
}

void check_fresh(const fs::path& directory) {
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

void prune_client_states(const fs::path& checkpoints, bool and_later) {
  ClientStates::prune(client_states_directory(checkpoints), checkpoint_rounds(checkpoints), and_later);
}

}  // namespace

Recorder::Recorder(const Experiment& experiment, RunMode mode)
    : experiment_{experiment}, mode_{mode}, directory_{experiment.job.run.output} {}

Recorder::~Recorder() = default;

RunStart Recorder::open() {
  // A script that starts again at once may be faster than the ranks that lost their launcher, which notice by
  // themselves.
  const std::chrono::seconds patience(mode_ == RunMode::resume_or_start ? 30 : 0);
  if (fs::is_directory(directory_)) lock_ = std::make_unique<DirectoryLock>(directory_, patience);
  check_usable(directory_);
  RunStart start{.checkpoint = std::nullopt, .last_round = experiment_.job.run.rounds};
  const bool has_checkpoint = !list_checkpoints(directory_ / "checkpoints").empty();
  if (mode_ == RunMode::resume || (mode_ == RunMode::resume_or_start && has_checkpoint)) {
    start.checkpoint = load();
    history_ = start.checkpoint->history;
  } else {
    check_fresh(directory_);
  }
  return start;
}

Checkpoint Recorder::load() const {
  auto checkpoint = load_newest_checkpoint(directory_ / "checkpoints");
  if (!checkpoint)
    throw FileError(
        fmt::format("{} holds no checkpoint to resume from: start the run without --resume", directory_.string()),
        directory_);
  const auto refuse = [&](const std::string& why) {
    throw FileError(fmt::format("the run in {} cannot be resumed: {}", directory_.string(), why), directory_);
  };
  if (checkpoint->round > experiment_.job.run.rounds)
    refuse(fmt::format("it has done {} rounds, and run.rounds is {}: ask for more, or start a new run with --output",
                       checkpoint->round, experiment_.job.run.rounds));
  const Differences other = differences(experiment_, *checkpoint);
  if (other.keys.size() == 1 && other.keys.front().ends_with(".file_digest"))
    refuse(fmt::format("the file of {} has changed since: bring back the one it was started with",
                       other.keys.front().substr(0, other.keys.front().rfind('.'))));
  if (!other.keys.empty())
    refuse(fmt::format("this job is another one in {}: set what its job.toml says, or start a new run with --output",
                       fmt::join(other.keys, ", ")));
  if (other.dataset) refuse("the dataset's content has changed since: bring back the one it was started with");
  if (other.layout)
    refuse(
        "the model's tensors have other names or shapes than the checkpoint's: use the plugin and files it was started "
        "with");
  if (other.model) refuse("the model's configuration has changed since: bring back the files it was started with");
  if (!other.versions.empty())
    log(LogLevel::warning, fmt::format("the run was started with another {}: it goes on, but not bit for bit",
                                       fmt::join(other.versions, ", ")));
  if (!checkpoint->history.empty()) take_last_line(directory_ / "metrics.jsonl", checkpoint->history);
  return std::move(*checkpoint);
}

void Recorder::begin(const Partition& partition) {
  if (!lock_) {
    make_directory(directory_);
    lock_ = std::make_unique<DirectoryLock>(directory_);
    check_fresh(directory_);  // again: another run may have been faster
  }
  for (const std::string& line : history_) rounds_.push_back(from_json_line(line));
  if (!rounds_.empty()) {
    saved_round_ = rounds_.back().round;
    set_aside_checkpoints(directory_ / "checkpoints", saved_round_ + 1);
    prune_client_states(directory_ / "checkpoints", true);
  }
  // First: a directory whose metrics are empty is known to be a run's that did not come far.
  metrics_ = std::make_unique<MetricsWriter>(directory_, history_);
  fs::create_directories(directory_ / "checkpoints");
  write_whole_file(directory_ / "job.toml", experiment_.resolved_job);
  write_whole_file(directory_ / "partition.json",
                   statistics_json(partition_statistics(partition, *experiment_.dataset)));
}

void Recorder::finish_round(RoundMetrics metrics, const ServerState& state, const Stopwatch& stopwatch, bool is_last) {
  const Job& job = experiment_.job;
  metrics.digest = digest(state.global);
  // After round 0 too: a run that is ended before its first round does not have to start again.
  if (metrics.round == 0 || is_last || (job.checkpoint.every != 0 && metrics.round % job.checkpoint.every == 0)) {
    const Stopwatch checkpoint_stopwatch;
    metrics.seconds.total = stopwatch.seconds();
    std::vector<std::string> history = history_;
    history.push_back(to_json_line(metrics));
    save(metrics, std::move(history), state);
    // A directory with metrics but without a checkpoint could be neither started in nor resumed.
    if (is_last || metrics.round == 0) wait_until_saved();
    metrics.seconds.checkpoint = checkpoint_stopwatch.seconds();
  }
  metrics.seconds.total = stopwatch.seconds();
  metrics_->write(metrics);
  history_.push_back(to_json_line(metrics));
  log(LogLevel::info, round_line(metrics, job.run.rounds));
  rounds_.push_back(std::move(metrics));
}

void Recorder::give_up(const ServerState& state) {
  if (!rounds_.empty() && saved_round_ != rounds_.back().round) save(rounds_.back(), history_, state);
  wait_until_saved();
}

void Recorder::save(const RoundMetrics& metrics, std::vector<std::string> history, const ServerState& state) {
  wait_until_saved();
  Checkpoint checkpoint{.round = metrics.round,
                        .digest = metrics.digest,
                        .layout = experiment_.model->layout(),
                        .parameters = state.global.clone(),
                        .strategy_state = state.strategy,
                        .job = experiment_.resolved_job,
                        .dataset_digest = experiment_.dataset->digest(),
                        .label_names = experiment_.dataset->label_names(),
                        .model_digest = experiment_.model->digest(),
                        .history = std::move(history),
                        .versions = experiment_.versions};
  for (NamedTensor& one : checkpoint.strategy_state) one.tensor = one.tensor.clone();
  saving_ = std::async(std::launch::async, [checkpoint = std::move(checkpoint), directory = directory_ / "checkpoints",
                                            keep = experiment_.job.checkpoint, before = saved_round_] {
    const fs::path path = checkpoint_path(directory, checkpoint.round);
    ClientStates::sync(checkpoint, path, before);
    save_checkpoint(path, checkpoint);
    prune_checkpoints(directory, keep.keep, keep.keep_every);
    prune_client_states(directory, false);
  });
  saved_round_ = metrics.round;
}

void Recorder::wait_until_saved() {
  if (saving_.valid()) saving_.get();
}

}  // namespace fedmpi
