#pragma once

#include "client.hpp"
#include "client_states.hpp"
#include "compression.hpp"
#include "evaluation.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/export.hpp"
#include "fixed_point.hpp"
#include "outcome.hpp"
#include "partition.hpp"
#include "update_spool.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// The clients of one rank: fits those it is given one after another and keeps what they send until the ranks put it
// together: the exact sum of weighted updates, or the updates themselves where the strategy works on slices.
// No communication. Main thread only.
class FEDMPI_API Host {
 public:
  // `states`: what clients keep from round to round, the caller's.
  Host(Experiment& experiment, const Partition& partition, const ClientStates& states);

  // Nobody has been fitted, the sum is zero. `cohort_size` bounds the number of contributions over all ranks.
  void begin_round(int round, int cohort_size);
  int round() const { return round_; }  // -1: none yet

  // Fits clients in this round, after those that were before, from `global` and the server's vectors; see ClientTask.
  // One that throws an exception of the standard is noted as a failure and leaves no trace. `advance` is called with
  // the tokens of each step.
  void fit(std::span<const std::int64_t> clients, const at::Tensor& global, const at::Tensor& server_vectors,
           const std::function<void(std::int64_t)>& advance);
  std::int64_t num_passes() const { return trainer_.num_passes(); }

  // Clients of this round that were fitted elsewhere, with their part of the sum (int64, as FixedPointSum::sum).
  void add(std::span<const FitRecord> records, const at::Tensor& sum);

  // Of this round's fits on this rank: who, in the order of their fits, and what they keep for their next round.
  const FitOutcome& outcome() const { return outcome_; }
  // The sum of weight * (updates, statistics), or of weight * statistics where the updates are in the spool; see
  // ClientTrainer and FixedPointSum.
  const FixedPointSum& sum() const { return sum_; }
  const UpdateSpool& spool() const { return spool_; }

  // What each client of this job sends of its updates and statistics, as federation.compression encodes them.
  std::int64_t update_bytes() const;

  EvaluationResults evaluate(std::span<const EvaluationBlock> blocks, std::span<const std::size_t> chosen,
                             const at::Tensor& global);

 private:
  FitRecord fit_one(std::int64_t client, const at::Tensor& global, const at::Tensor& server_vectors,
                    const std::function<void(std::int64_t)>& advance);

  Experiment& experiment_;
  const Partition& partition_;
  const ClientStates& states_;
  const bool by_slices_;
  const std::int64_t residual_size_;
  ClientTrainer trainer_;
  Compression compression_;
  int round_ = -1;
  FitOutcome outcome_;
  FixedPointSum sum_;
  UpdateSpool spool_;
};

}  // namespace fedmpi
