#pragma once

#include "fedmpi/experiment.hpp"
#include "fedmpi/export.hpp"
#include "host.hpp"
#include "stopwatch.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// Keeps what a host has of a round (checkpoint.within_round_seconds) as partial_round_*.h5 among the run's checkpoints,
// for a restart that then fits only the clients that are missing. Sums are exact, so that it changes no bit whose rank
// fitted whom. Nothing depends on these files: one that cannot be read or written is logged and done without. No
// communication. Main thread only.
class FEDMPI_API PartialRounds {
 public:
  explicit PartialRounds(const Experiment& experiment);

  // Before the round's first fit. `global` float32 [layout.size()]: the parameters that the round starts from, which
  // stay as they are until it is over.
  void begin_round(int round, const at::Tensor& global);

  // Gives the host what is kept of this round for clients of the cohort, each once.
  void restore(Host& host, std::span<const std::int64_t> cohort);

  // Saves what the host has and no file of this object holds, when within_round_seconds have passed since this was
  // last done; `now`: in any case. Does nothing where the job does not ask for it.
  void save(const Host& host, bool now = false);

  // Removes what is kept of rounds up to `round`.
  void clear(int round);

 private:
  const std::string& origin();

  const Experiment& experiment_;
  const std::filesystem::path directory_;
  int round_ = 0;
  at::Tensor global_;
  std::string origin_;                          // once it is needed
  std::size_t num_saved_ = 0;                   // of the host's clients
  std::vector<std::filesystem::path> sources_;  // of all that is saved
  Stopwatch since_saved_;
};

}  // namespace fedmpi
