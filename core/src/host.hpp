#pragma once

#include "client.hpp"
#include "evaluation.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/export.hpp"
#include "fixed_point.hpp"
#include "partition.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

struct ClientFailure {
  std::int64_t client = 0;
  std::string message;
};

// What one rank did for a round.
struct FitOutcome {
  std::vector<FitRecord> records;
  std::vector<ClientFailure> failures;
};

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

// An exception's message without a library's stack trace, on one line.
FEDMPI_API std::string one_line(const std::exception& error);

}  // namespace fedmpi
