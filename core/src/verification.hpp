#pragma once

#include "fedmpi/experiment.hpp"
#include "run_record.hpp"

#include <filesystem>
#include <map>
#include <string>

namespace fedmpi {

// Compares the digest of each round, and at the end the strategy's state, with what a checkpoint recorded. Starts from
// the newest good older checkpoint of the same run beside it, or from the start. Writes nothing. finish_round throws
// Error at the first difference: which round, and what the checkpoint says was different then.
class Verification final : public RunRecord {
 public:
  // `num_rounds` at most, 0: all.
  Verification(const Experiment& experiment, const std::filesystem::path& checkpoint, int num_rounds, bool from_start);

  RunStart open() override;  // FileError when the checkpoint cannot be read or its layout is not the model's
  void begin(const Partition&) override {}
  std::vector<std::int64_t> left_out(int round) const override;
  void finish_round(RoundMetrics metrics, const ServerState& state, const Stopwatch& stopwatch, bool is_last) override;
  void give_up(const ServerState&) override {}
  std::string summary() const override;

 private:
  std::optional<Checkpoint> older() const;
  void refuse(int round, const std::string& what) const;

  const Experiment& experiment_;
  const std::filesystem::path path_;
  const int num_rounds_;
  const bool from_start_;
  Checkpoint target_;
  std::map<int, RoundMetrics> recorded_;
  int first_round_ = 0, last_round_ = 0;
};

}  // namespace fedmpi
