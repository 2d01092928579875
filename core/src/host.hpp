#pragma once

#include "client.hpp"
#include "evaluation.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/export.hpp"
#include "fixed_point.hpp"
#include "outcome.hpp"
#include "partition.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// The clients of one rank: fits those it is given one after another and keeps the exact sum of their weighted updates.
// No communication. Main thread only.
class FEDMPI_API Host {
 public:
  Host(Experiment& experiment, const Partition& partition);

  // Nobody has been fitted, the sum is zero. `cohort_size` bounds the number of contributions over all ranks.
  void begin_round(int round, int cohort_size);
  int round() const { return round_; }  // -1: none yet

  // Fits clients in this round, after those that were before. One that throws an exception of the standard is noted as
  // a failure and leaves no trace in the sum. `advance` is called with the tokens of each step.
  void fit(std::span<const std::int64_t> clients, const at::Tensor& global,
           const std::function<void(std::int64_t)>& advance);

  // Clients of this round that were fitted elsewhere, with their part of the sum (int64, as FixedPointSum::sum).
  void add(std::span<const FitRecord> records, const at::Tensor& sum);

  // Of this round's fits on this rank: who, and the sum of weight * update; see FixedPointSum.
  const FitOutcome& outcome() const { return outcome_; }
  const FixedPointSum& sum() const { return sum_; }

  std::vector<BlockResult> evaluate(std::span<const EvaluationBlock> blocks, std::span<const std::size_t> chosen,
                                    const at::Tensor& global);

 private:
  Experiment& experiment_;
  const Partition& partition_;
  ClientTrainer trainer_;
  int round_ = -1;
  FitOutcome outcome_;
  FixedPointSum sum_;
};

}  // namespace fedmpi
