#pragma once

#include "fedmpi/checkpoint.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/metrics.hpp"
#include "stopwatch.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// A run's directory, kept by the server: job.toml, metrics, checkpoints, and a line a round on the terminal.
class FEDMPI_API Recorder {
 public:
  // FileError, with nothing written, when the directory cannot be used or holds a run already. One that was ended
  // before its round 0 was done does not count.
  static void check_fresh(const std::filesystem::path& directory);

  // The newest good checkpoint in the job's output directory. FileError when there is none, or when it was made by
  // another job (naming the keys that differ), another dataset or another model, or when it is past the job's last
  // round. Other versions of libraries and plugins are logged.
  static Checkpoint load_for_resume(const Experiment& experiment);

  // Makes the directory, unless it is there, and writes job.toml. `history`: the metrics lines of the rounds so far;
  // checkpoints of later rounds are set aside.
  Recorder(const Experiment& experiment, std::vector<std::string> history);
  ~Recorder();

  // Fills in the digest of `global` and the times of the checkpoint and of the whole round by `stopwatch`; saves a
  // checkpoint when one is due; writes the metrics.
  void finish_round(RoundMetrics metrics, const Experiment& experiment, const at::Tensor& global,
                    const Stopwatch& stopwatch);

  const std::vector<RoundMetrics>& rounds() const { return rounds_; }

 private:
  void save(const RoundMetrics& metrics, const Experiment& experiment, const at::Tensor& global) const;

  std::filesystem::path directory_;
  std::vector<std::string> history_;
  std::vector<RoundMetrics> rounds_;
  std::unique_ptr<MetricsWriter> metrics_;
};

}  // namespace fedmpi
