#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// What a client reports of one fit. Numbers only: these records are all that reaches the server besides the sum.
struct FitRecord {
  std::int64_t client = 0;
  std::int64_t num_examples = 0;  // in the client's partition
  std::int64_t num_steps = 0;     // optimizer steps taken
  std::int64_t num_tokens = 0;    // trained on, over all local epochs
  double loss = 0.0;              // mean over the examples of the local pass
  double weight = 0.0;            // what the client counts in the aggregate
  double seconds = 0.0;
};

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// Interface of a strategy plugin: both halves of a federated algorithm. Tensors are the shared part of the flat
// buffer, float32 [layout.shared_size()]. The client half runs on whichever rank hosts the client, the server
// half on rank 0. No function may keep state between clients: it would depend on who was hosted together.
class FEDMPI_API Strategy {
 public:
  static constexpr const char* plugin_kind = "strategy";
  virtual ~Strategy();

  // Client half.
  // After each backward pass, before clipping and the optimizer step. Default: nothing.
  virtual void adjust_gradients(at::Tensor gradients, const at::Tensor& parameters, const at::Tensor& global) const;
  // How much the client counts; >= 0, and at least 2^-10 where it is to keep its precision. Default: num_examples.
  virtual double weight(const FitRecord& record) const;
  // `update` = local - global, changed in place before it is weighted and summed. Default: nothing.
  virtual void transform_update(at::Tensor update, const FitRecord& record) const;

  // Server half.
  // `global` in: the round's start; out: the next round's. `mean_update` = sum(weight * update) / sum(weight).
  // `records` in ascending client order. Not called when every weight is 0: the parameters then stay.
  virtual void aggregate(at::Tensor global, const at::Tensor& mean_update, std::span<const FitRecord> records,
                         int round) = 0;
  // What aggregate needs to go on after a restart. restore gets what state returned.
  virtual std::vector<NamedTensor> state() const;
  virtual void restore(std::span<const NamedTensor> state);
};

}  // namespace fedmpi
