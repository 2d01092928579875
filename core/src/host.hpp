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

  // A client that throws is reported as a failure and leaves no trace in the sum. `cohort_size` bounds the number of
  // contributions over all ranks; `advance` is called with the tokens of each step.
  FitOutcome fit(std::span<const std::int64_t> clients, int cohort_size, int round, const at::Tensor& global,
                 const std::function<void(std::int64_t)>& advance);

  // sum of weight * update over the clients of the last fit, on this rank; see FixedPointSum.
  FixedPointSum& sum() { return sum_; }

  std::vector<BlockResult> evaluate(std::span<const EvaluationBlock> blocks, std::span<const std::size_t> chosen,
                                    const at::Tensor& global);

 private:
  Experiment& experiment_;
  const Partition& partition_;
  ClientTrainer trainer_;
  FixedPointSum sum_;
};

}  // namespace fedmpi
