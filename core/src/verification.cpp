#include "verification.hpp"

#include "differences.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/log.hpp"
#include "file_error.hpp"

#include <algorithm>
#include <ranges>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

std::string rounds_text(int first, int last) {
  return first == last ? fmt::format("round {}", last) : fmt::format("rounds {} to {}", first, last);
}

std::map<int, RoundMetrics> history_of(const Checkpoint& checkpoint) {
  std::map<int, RoundMetrics> history;
  for (const std::string& line : checkpoint.history) {
    RoundMetrics metrics = from_json_line(line);
    history[metrics.round] = std::move(metrics);
  }
  return history;
}

bool is_earlier_state(const Checkpoint& older, const Checkpoint& newer, const std::map<int, RoundMetrics>& recorded) {
  const auto same = recorded.find(older.round);
  return older.round < newer.round && same != recorded.end() && same->second.digest == older.digest &&
         older.job == newer.job;
}

bool same_state(std::span<const NamedTensor> a, std::span<const NamedTensor> b) {
  return std::ranges::equal(a, b, [](const NamedTensor& x, const NamedTensor& y) {
    return x.name == y.name && digest(x.tensor.cpu().contiguous()) == digest(y.tensor.cpu().contiguous());
  });
}

// "torch (2.13.0, then 2.12.0)"
std::string both_versions(const std::string& name, const std::map<std::string, std::string>& here,
                          const std::map<std::string, std::string>& then) {
  const auto of = [&](const std::map<std::string, std::string>& versions) {
    const auto found = versions.find(name);
    return found == versions.end() ? std::string("none") : found->second.substr(0, 40);
  };
  return fmt::format("{} ({}, then {})", name, of(here), of(then));
}

std::string describe(const Experiment& experiment, const Checkpoint& checkpoint) {
  const Differences other = differences(experiment, checkpoint);
  std::vector<std::string> causes;
  for (const std::string& key : other.keys) causes.push_back("the job's " + key);
  if (other.dataset) causes.emplace_back("the dataset's content");
  if (other.model) causes.emplace_back("the model's configuration");
  for (const std::string& name : other.versions)
    causes.push_back(both_versions(name, experiment.versions, checkpoint.versions));
  return causes.empty() ? "nothing that the checkpoint records" : fmt::format("{}", fmt::join(causes, ", "));
}

}  // namespace

Verification::Verification(const Experiment& experiment, const std::filesystem::path& checkpoint, int num_rounds,
                           bool from_start)
    : experiment_{experiment}, path_{checkpoint}, num_rounds_{num_rounds}, from_start_{from_start} {}

RunStart Verification::open() {
  target_ = load_checkpoint(path_);
  recorded_ = history_of(target_);
  if (recorded_.empty() || recorded_.rbegin()->first != target_.round ||
      recorded_.rbegin()->second.digest != target_.digest)
    throw file_error(path_, "has a history that does not end with its own round");
  for (int round = 0; round <= target_.round; ++round)
    if (!recorded_.contains(round)) throw file_error(path_, fmt::format("has a history without round {}", round));
  if (differences(experiment_, target_).layout)
    throw file_error(path_, "cannot be verified: the model's tensors have other names or shapes than the checkpoint's");
  RunStart start;
  if (!from_start_) start.checkpoint = older();
  first_round_ = start.checkpoint ? start.checkpoint->round + 1 : 0;
  const int before = std::max(first_round_ - 1, 0);
  last_round_ = num_rounds_ > 0 ? std::min(target_.round, before + num_rounds_) : target_.round;
  start.last_round = last_round_;
  log(LogLevel::info,
      fmt::format("verifying {} of {}, from {}; what differs from then: {}", rounds_text(first_round_, last_round_),
                  path_.string(), start.checkpoint ? "an older checkpoint" : "the start",
                  describe(experiment_, target_)));
  return start;
}

std::optional<Checkpoint> Verification::older() const {
  const auto paths = list_checkpoints(std::filesystem::absolute(path_).parent_path());
  for (const std::filesystem::path& path : std::views::reverse(paths)) {
    try {
      Checkpoint checkpoint = load_checkpoint(path);
      if (is_earlier_state(checkpoint, target_, recorded_)) return checkpoint;
    } catch (const FileError& error) {
      log(LogLevel::warning, fmt::format("a checkpoint is passed over: {}", error.what()));
    }
  }
  return std::nullopt;
}

std::vector<std::int64_t> Verification::left_out(int round) const {
  std::vector<std::int64_t> clients;
  for (const ClientFailure& failure : recorded_.at(round).failed) clients.push_back(failure.client);
  return clients;
}

void Verification::finish_round(RoundMetrics metrics, const ServerState& state, const Stopwatch& stopwatch, bool) {
  const std::string mine = digest(state.global), &recorded = recorded_.at(metrics.round).digest;
  if (mine != recorded)
    refuse(metrics.round, fmt::format("gives the digest {:.12}, but {:.12} is recorded", mine, recorded));
  if (metrics.round == target_.round && !same_state(state.strategy, target_.strategy_state))
    refuse(metrics.round, "gives the recorded parameters, but another state of the strategy");
  log(LogLevel::info, fmt::format("round {}/{}, digest {:.12}, as recorded, {:.1f} s", metrics.round, last_round_, mine,
                                  stopwatch.seconds()));
}

void Verification::refuse(int round, const std::string& what) const {
  throw Error(fmt::format("{} is not reproduced: round {} {}; what differs from then: {}", path_.string(), round, what,
                          describe(experiment_, target_)));
}

std::string Verification::summary() const {
  return first_round_ == last_round_
             ? fmt::format("reproduced: round {} gives the digest that {} records", last_round_, path_.string())
             : fmt::format("reproduced: rounds {} to {} give the digests that {} records", first_round_, last_round_,
                           path_.string());
}

}  // namespace fedmpi
