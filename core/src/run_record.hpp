#pragma once

#include "fedmpi/checkpoint.hpp"
#include "fedmpi/metrics.hpp"
#include "partition.hpp"
#include "stopwatch.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// What the server has after a round.
struct ServerState {
  at::Tensor global;                  // float32 [layout.size()]
  std::vector<NamedTensor> strategy;  // all else that the next round needs
};

struct RunStart {
  std::optional<Checkpoint> checkpoint;  // to go on from; nullopt: round 0 comes first
  int last_round = 0;
};

// What the server keeps beside the protocol: where the rounds start, and what becomes of them. Called in this order,
// on the server's main thread. Errors: UserError from open(), Error from the others.
class RunRecord {
 public:
  virtual ~RunRecord() = default;

  virtual RunStart open() = 0;  // refuses what cannot be done; writes nothing
  // From here on it may write.
  virtual void begin(const Partition& partition) = 0;

  // Clients whose part in that round is known to have failed.
  virtual std::vector<std::int64_t> left_out(int) const { return {}; }

  // `metrics` lacks the digest of the parameters and the times of the checkpoint and of the whole round by `stopwatch`.
  // `is_last`: no other round will follow.
  virtual void finish_round(RoundMetrics metrics, const ServerState& state, const Stopwatch& stopwatch,
                            bool is_last) = 0;

  // The round after the one that was finished last is given up: `state` is as that one left it.
  virtual void give_up(const ServerState& state) = 0;

  // What to say once all rounds are done.
  virtual std::string summary() const = 0;
};

}  // namespace fedmpi
