#include "partial_rounds.hpp"

#include "differences.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/log.hpp"
#include "fedmpi/partial_round.hpp"

#include <algorithm>
#include <charconv>
#include <exception>
#include <optional>
#include <ranges>
#include <set>
#include <utility>

#include <fmt/format.h>

namespace fedmpi {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view prefix = "partial_round_";

// Of one that is half-written too.
std::optional<int> round_of(const fs::path& path) {
  const std::string name = path.filename().string();
  int round = 0;
  if (!name.starts_with(prefix)) return std::nullopt;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + prefix.size(), end, round);
  if (error != std::errc() || rest == end || *rest != '_') return std::nullopt;
  return round;
}

// With the rounds they are of, sorted.
std::vector<std::pair<int, fs::path>> list_files(const fs::path& directory) {
  std::vector<std::pair<int, fs::path>> found;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    std::error_code ignored;
    if (const auto round = round_of(entry->path()); round && entry->is_regular_file(ignored))
      found.emplace_back(*round, entry->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

void remove_all(const std::vector<fs::path>& paths) {
  std::error_code ignored;  // another rank may have been faster
  for (const fs::path& path : paths) fs::remove(path, ignored);
}

}  // namespace

PartialRounds::PartialRounds(const Experiment& experiment)
    : experiment_{experiment}, directory_{experiment.job.run.output / "checkpoints"} {}

void PartialRounds::begin_round(int round, const at::Tensor& global) {
  round_ = round;
  global_ = global;
  origin_.clear();
  num_saved_ = 0;
  sources_.clear();
  since_saved_ = {};
}

const std::string& PartialRounds::origin() {
  if (origin_.empty()) origin_ = digest(fingerprint(experiment_) + digest(global_.cpu()));
  return origin_;
}

void PartialRounds::restore(Host& host, std::span<const std::int64_t> cohort) {
  std::set<std::int64_t> missing(cohort.begin(), cohort.end());
  // Those with most clients come last. A rank that was killed between writing a file and removing what it replaces left
  // both.
  for (const auto& [round, path] : std::views::reverse(list_files(directory_))) {
    if (round != round_ || path.extension() != ".h5") continue;
    try {
      const PartialRound partial = load_partial_round(path);
      if (partial.round != round_ || partial.origin != origin() || partial.sum.numel() != host.sum().sum().numel())
        throw Error(path.string() + " was kept by another job or with other data, another model or other versions");
      std::set<std::int64_t> rest = missing;
      const bool each_is_missing =
          std::ranges::all_of(partial.records, [&](const FitRecord& record) { return rest.erase(record.client) == 1; });
      if (!each_is_missing) continue;
      missing = std::move(rest);
      host.add(partial.records, partial.sum);
      sources_.push_back(path);
    } catch (const std::exception& error) {
      log(LogLevel::warning, fmt::format("a part of round {} is fitted again: {}", round_, one_line(error)));
    }
  }
  num_saved_ = host.outcome().records.size();
}

void PartialRounds::save(const Host& host, bool now) {
  const double seconds = experiment_.job.checkpoint.within_round_seconds;
  const std::vector<FitRecord>& records = host.outcome().records;
  if (seconds <= 0.0 || records.size() == num_saved_ || (!now && since_saved_.seconds() < seconds)) return;
  since_saved_ = {};
  std::string clients;
  for (const FitRecord& record : records) clients += fmt::format("{};", record.client);
  const fs::path path =
      directory_ / fmt::format("{}{:04}_{:06}_{:.12}.h5", prefix, round_, records.size(), digest(clients));
  try {
    save_partial_round(path, {.round = round_, .origin = origin(), .records = records, .sum = host.sum().sum().cpu()});
    num_saved_ = records.size();
    remove_all(std::exchange(sources_, {path}));
  } catch (const std::exception& error) {
    log(LogLevel::warning, fmt::format("what is done of round {} is not kept: {}", round_, one_line(error)));
  }
}

void PartialRounds::clear(int round) {
  std::vector<fs::path> old;
  for (auto& [of, path] : list_files(directory_))
    if (of <= round) old.push_back(std::move(path));
  remove_all(old);
}

}  // namespace fedmpi
