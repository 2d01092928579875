#include "run.hpp"

#include "differences.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/job.hpp"
#include "file_error.hpp"
#include "last_words.hpp"
#include "measures.hpp"
#include "numbers.hpp"

#include <fstream>

#include <fmt/format.h>

namespace fedmpi {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t max_count = std::int64_t{1} << 31;
constexpr std::size_t max_line_bytes = std::size_t{1} << 26;
constexpr std::uintmax_t max_metrics_bytes = std::uintmax_t{1} << 30, max_partition_bytes = std::uintmax_t{1} << 28;

std::ifstream open_file(const fs::path& path, std::uintmax_t max_bytes) {
  std::error_code error;
  if (!fs::exists(path, error))
    throw FileError(
        fmt::format("{} has no {}: name the directory of a run", path.parent_path().string(), path.filename().string()),
        path);
  if (!fs::is_regular_file(path, error)) throw file_error(path, "is not a file: name the directory of a run");
  if (fs::file_size(path, error) > max_bytes || error)
    throw file_error(path, fmt::format("has more than the {} that are read of such a file",
                                       bytes_text(static_cast<std::int64_t>(max_bytes))));
  std::ifstream file(path, std::ios::binary);
  if (!file) throw file_error(path, "cannot be read: " + errno_message());
  return file;
}

void read_job(const fs::path& path, Run& run) {
  open_file(path, max_metrics_bytes);
  run.job = read_job_file(path);
  const Job job = parse_job(run.job, path.string(), {});
  run.name = job.run.name;
  run.strategy = job.strategy.name;
  run.model = job.model.name;
  run.dataset = job.dataset.name;
  run.seed = job.run.seed;
  run.num_rounds = job.run.rounds;
  run.keys = result_keys(run.job);
}

// What from_json_line takes and a run does not write.
void check_plausible(const RoundMetrics& metrics, const Run& run) {
  if (metrics.round < 0 || (!run.rounds.empty() && metrics.round <= run.rounds.back().round))
    throw Error(fmt::format("round {} is not after the one before", metrics.round));
  if (metrics.digest.size() > 64 || metrics.digest.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw Error("the digest is none");
  const auto is_time = [](double seconds) { return seconds >= 0.0 && seconds < 1e12; };
  if (!is_time(metrics.seconds.total)) throw Error("seconds.total is no time");
  for (const Phase& phase : phases)
    if (!is_time((metrics.seconds.*phase.seconds).value_or(0.0)))
      throw Error(fmt::format("seconds.{} is no time", phase.name));
  for (const auto& count : {metrics.clients, metrics.failures})
    if (count.value_or(0) < 0 || count.value_or(0) > max_count) throw Error("a number of clients is none");
  if (metrics.bytes_sent < 0 || metrics.peak_rss_bytes < 0 || metrics.update_bytes.value_or(0) < 0)
    throw Error("a number of bytes is negative");
}

constexpr const char* advice = "bring the file back, or leave this run out";

void read_metrics(const fs::path& path, Run& run) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return;  // it has not come to its first round
  std::ifstream file = open_file(path, max_metrics_bytes);
  std::string line;
  while (std::getline(file, line)) {
    // The round may be just being written, or the run was ended while it was.
    run.line_cut_short = file.eof();
    if (run.line_cut_short) return;
    try {
      if (line.size() > max_line_bytes) throw Error("it is too long");
      RoundMetrics metrics = from_json_line(line);
      check_plausible(metrics, run);
      if (!run.rounds.empty()) run.rounds.back().central_confusion = {};
      run.rounds.push_back(std::move(metrics));
    } catch (const Error& error) {
      throw file_error(path, fmt::format("line {} is damaged ({}): {}", run.rounds.size() + 1, error.what(), advice));
    }
  }
  if (file.bad()) throw file_error(path, "cannot be read: " + errno_message());
}

void read_partition(const fs::path& path, Run& run) {
  std::ifstream file = open_file(path, max_partition_bytes);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  try {
    run.clients = statistics_from_json(text);
  } catch (const Error& error) {
    throw file_error(path, fmt::format("is damaged ({}): {}", error.what(), advice));
  }
}

// As a sweep's directory does.
bool holds_runs(const fs::path& directory) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    std::error_code ignored;
    if (fs::exists(entry->path() / "job.toml", ignored)) return true;
  }
  return false;
}

}  // namespace

Run read_run(const fs::path& directory) {
  std::error_code error;
  if (!fs::exists(directory, error))
    throw FileError(fmt::format("there is no {}: name the directory of a run", directory.string()), directory);
  if (!fs::is_directory(directory, error))
    throw file_error(directory, "is not a directory: name the directory of a run");
  if (!fs::exists(directory / "job.toml", error) && holds_runs(directory))
    throw FileError(fmt::format("{0} holds runs and is none: name them, as in {0}/*", directory.string()), directory);
  Run run;
  run.directory = directory.string();
  read_job(directory / "job.toml", run);
  read_metrics(directory / "metrics.jsonl", run);
  read_partition(directory / "partition.json", run);
  run.last_words = last_words(directory);
  return run;
}

}  // namespace fedmpi
