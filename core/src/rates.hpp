#pragma once

#include "evaluation.hpp"
#include "federated_state.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/export.hpp"
#include "forecast.hpp"
#include "host.hpp"
#include "partition.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

namespace fedmpi {

struct ServerTrial {
  ServerSeconds seconds;
  std::int64_t mean_bytes = 0, checkpoint_bytes = 0;  // of the averaged sum, in memory; of a checkpoint, on disk
};

// Measures how fast this rank works by doing a few seconds of a round's work for real, at the state given. No
// communication. Main thread only. UserError when a client cannot be fitted, as the run would find, or too many where
// the job drops those. What is done first is the largest piece, so that the memory of the process then shows what the
// work needs, and it is not timed.
class FEDMPI_API RateMeasurement {
 public:
  RateMeasurement(Experiment& experiment, const Partition& partition, const FederatedState& state);

  // `mine`: which of the blocks are this rank's. Nothing is measured when there are none.
  void evaluate(std::span<const EvaluationBlock> blocks, std::span<const std::size_t> mine);

  // Fits of the first examples of each of `clients` in `round`. `advance`: see Host::fit.
  void fit(std::span<const std::int64_t> clients, int round, const std::function<void(std::int64_t)>& advance);

  // One slice of `records.size()` made-up updates, for a strategy on slices.
  void slice(std::span<const FitRecord> records, int round);

  // The server half of a round with `records`, at `state`, which it changes; writes a checkpoint to `directory`.
  ServerTrial serve(FederatedState& state, std::span<const FitRecord> records, int round,
                    const std::filesystem::path& directory) const;

  const Rates& rates() const { return rates_; }
  bool has_fitted() const { return has_fitted_; }
  // As the newest fit left it.
  const Host& host() const { return host_; }

 private:
  void fit_longest_batch(int round);
  void shorten(std::int64_t client);
  void check_fitted();

  Experiment& experiment_;
  const Partition& partition_;
  const FederatedState& state_;
  Partition shortened_;  // what the host sees
  Host host_;
  Rates rates_;
  bool has_fitted_ = false;
  int num_dropped_ = 0;
};

// Bytes a second of a copy in memory on one core.
FEDMPI_API double copy_bytes_per_second();

}  // namespace fedmpi
