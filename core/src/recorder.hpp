#pragma once

#include "directory_lock.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/federation.hpp"
#include "run_record.hpp"

#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <vector>

namespace fedmpi {

// A run's directory: job.toml, partition.json, metrics, checkpoints, and a line a round on the terminal. Checkpoints
// are written by a thread beside the next round; one that fails is an Error of the next call that saves, or of the
// last. open() refuses a directory that another run holds (to resume or start: for 30 s more) or that cannot be used,
// and
// - for a new run, one that holds a run already, unless that was ended before its round 0 was done;
// - to resume, one without a good checkpoint, or whose newest was made by another job (naming the keys that differ),
//   another dataset or another model, or is past the job's last round. Other versions of libraries and plugins are
//   logged, and checkpoints newer than it are set aside;
// - to resume or start, what it would refuse when there is a checkpoint, or none.
class Recorder final : public RunRecord {
 public:
  Recorder(const Experiment& experiment, RunMode mode);
  ~Recorder() override;

  RunStart open() override;
  void begin(const Partition& partition) override;
  void finish_round(RoundMetrics metrics, const ServerState& state, const Stopwatch& stopwatch, bool is_last) override;
  void give_up(const ServerState& state) override;
  std::string summary() const override { return rounds_table(rounds_); }

 private:
  Checkpoint load() const;
  void save(const RoundMetrics& metrics, std::vector<std::string> history, const ServerState& state);
  void wait_until_saved();

  const Experiment& experiment_;
  const RunMode mode_;  // not verify
  const std::filesystem::path directory_;
  std::unique_ptr<DirectoryLock> lock_;
  std::vector<std::string> history_;  // the metrics lines of the rounds so far
  std::vector<RoundMetrics> rounds_;
  int saved_round_ = -1;  // of the newest checkpoint
  std::unique_ptr<MetricsWriter> metrics_;
  std::future<void> saving_;  // the newest checkpoint
};

}  // namespace fedmpi
