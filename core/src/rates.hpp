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
#include <optional>
#include <span>
#include <vector>

namespace fedmpi {

struct ServerTrial {
  ServerSeconds seconds;
  std::int64_t mean_bytes = 0, checkpoint_bytes = 0;  // of the averaged sum, in memory; of a checkpoint, on disk
};

// Samples are taken for about so long, and on a slow or busy machine, where few pieces take longer, for no longer than
// the most, to which the piece that is being measured then adds.
struct MeasuringTime {
  double evaluate_seconds = 2.0, fit_seconds = 4.0;
  double most_evaluate_seconds = 8.0, most_fit_seconds = 16.0;
};

// Measures how fast this rank works by doing a few seconds of a round's work for real, at the state given. No
// communication. Main thread only. UserError when a client cannot be fitted, as the run would find, or too many where
// the job drops those. What is done first is the largest piece, so that the memory of the process then shows what the
// work needs; it counts only where there is no time for another.
class FEDMPI_API RateMeasurement {
 public:
  RateMeasurement(Experiment& experiment, const Partition& partition, const FederatedState& state,
                  MeasuringTime time = {});

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
  bool is_cut_short() const { return is_cut_short_; }  // by the most that it may take
  // As the newest fit left it.
  const Host& host() const { return host_; }

 private:
  std::optional<Sample> fit_longest_batch(int round);
  void shorten(std::int64_t client);
  void fit_at_once(std::span<const std::int64_t> clients, double seconds, int round);
  double speedup(const std::function<double()>& alone, const std::function<double()>& at_once);
  void check_fitted();

  Experiment& experiment_;
  const Partition& partition_;
  const FederatedState& state_;
  Partition shortened_;  // what the host sees
  Host host_;
  Rates rates_;
  MeasuringTime time_;
  bool has_fitted_ = false, is_cut_short_ = false;
  int num_dropped_ = 0;
};

// Bytes a second of a copy in memory on one core.
FEDMPI_API double copy_bytes_per_second();

}  // namespace fedmpi
