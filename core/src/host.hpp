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

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// The clients of one rank: fits those it is given and keeps what they send until the ranks put it
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
  // One that throws an exception of the standard is noted as a failure and leaves no trace. `advance` is called, on
  // this thread, with the tokens of steps, as they are done; what it throws ends the fits of all clients at hand.
  void fit(std::span<const std::int64_t> clients, const at::Tensor& global, const at::Tensor& server_vectors,
           const std::function<void(std::int64_t)>& advance);
  // How many of them it fits, or blocks it evaluates, at the same time, each on a thread of its own with a model of its
  // own; see Model::uses_one_thread. Results are the same for any number. At first the most: as many as there are
  // threads when this is made, if the model is small enough.
  std::size_t at_once() const { return at_once_; }
  std::size_t most_at_once() const { return 1 + other_models_.size(); }
  void set_at_once(std::size_t count);
  std::int64_t num_passes() const { return trainers_.front()->num_passes(); }

  // Clients of this round that were fitted elsewhere, with their part of the sum (int64, as FixedPointSum::sum).
  void add(std::span<const FitRecord> records, const at::Tensor& sum);

  // Of this round's fits on this rank: who, in the order in which they ended, and what they keep for their next round.
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
  using Advance = std::function<void(std::int64_t)>;
  void make_trainers(std::size_t count);
  void fit_at_once(std::span<const std::int64_t> clients, const at::Tensor& global, const at::Tensor& server_vectors,
                   const Advance& advance);
  void attempt(std::int64_t client, const std::function<void()>& fit);
  void fit_one(ClientTrainer& trainer, std::int64_t client, const at::Tensor& global, const at::Tensor& server_vectors,
               const Advance& advance);
  void take(ClientTrainer& trainer, const FitRecord& record, const at::Tensor& kept);
  EvaluationResults evaluate(ClientTrainer& trainer, std::span<const EvaluationBlock> blocks,
                             std::span<const std::size_t> chosen, const at::Tensor& global);
  at::Tensor kept_by(std::int64_t client);

  Experiment& experiment_;
  const Partition& partition_;
  const ClientStates& states_;
  const bool by_slices_;
  const std::int64_t residual_size_;
  std::size_t at_once_;
  std::vector<std::unique_ptr<Model>> other_models_;      // besides the experiment's
  std::vector<std::unique_ptr<ClientTrainer>> trainers_;  // of the first models, as many as were wanted so far
  std::mutex mutex_;  // of what follows and of the clients' states, while several are fitted
  Compression compression_;
  int round_ = -1;
  FitOutcome outcome_;
  FixedPointSum sum_;
  UpdateSpool spool_;
};

}  // namespace fedmpi
