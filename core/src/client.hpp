#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/strategy.hpp"
#include "optimizer.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// One rank's workspace: the model bound to its two buffers, and the training of one client after another in them. No
// communication. What a client's fit gives is a function of (job, global, round, client), whatever ran before it.
class FEDMPI_API ClientTrainer {
 public:
  ClientTrainer(const Job& job, Model& model, const Dataset& dataset, const Strategy& strategy);

  // Makes the model the global one. global: float32 [layout.size()].
  void load(const at::Tensor& global);

  // Trains the client's examples from `global` and leaves its update in update(). `advance` is called with the tokens
  // of each step. Error when the loss is not finite.
  FitRecord fit(std::int64_t client, std::span<const std::int64_t> examples, int round, const at::Tensor& global,
                const std::function<void(std::int64_t)>& advance);

  // local - global after the strategy's transform_update, float32 [layout.shared_size()]; until the next load or fit.
  at::Tensor update() const { return update_; }

 private:
  BatchResult step(const Batch& batch, RandomKey key, double learning_rate_factor, const at::Tensor& global);

  const Job& job_;
  Model& model_;
  const Dataset& dataset_;
  const Strategy& strategy_;
  at::Tensor values_, gradients_, update_;
  std::unique_ptr<Optimizer> optimizer_;  // made at the first fit: a server that hosts no clients needs none
};

}  // namespace fedmpi
