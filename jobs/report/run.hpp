#pragma once

#include "fedmpi/metrics.hpp"
#include "partition_statistics.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace fedmpi {

// What a run's directory says of it, however far the run has come.
struct Run {
  std::string directory;  // as it was given
  std::string name, strategy, model, dataset;
  std::uint64_t seed = 0;
  int num_rounds = 0;                       // that the job asks for
  std::string job;                          // as resolved, TOML
  std::map<std::string, std::string> keys;  // result_keys of it
  std::vector<RoundMetrics> rounds;         // in ascending order; only the last one has its confusion matrix
  std::vector<ClientStatistics> clients;
  std::string last_words;       // the error that ended it, where its log says so
  bool line_cut_short = false;  // the metrics end in the middle of a line, which is left out
};

// Reads job.toml, metrics.jsonl, partition.json and the end of the log, which may have been written by anyone.
// FileError for one that is missing, too large or damaged; the log may be missing.
Run read_run(const std::filesystem::path& directory);

}  // namespace fedmpi
