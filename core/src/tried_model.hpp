#pragma once

#include "fedmpi/layout.hpp"
#include "fedmpi/model.hpp"

#include <cstdint>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// A model on buffers of its own, as the engine uses one. One thread at a time.
class TriedModel {
 public:
  struct Fit {
    BatchResult sums;
    at::Tensor gradients, values;  // afterwards
  };
  struct Evaluation {
    BatchResult sums;
    at::Tensor predictions;
  };

  TriedModel(std::unique_ptr<Model> model, Precision precision);

  const Layout& layout() const { return model_->layout(); }
  Model& model() { return *model_; }

  // float32 [layout().size()]
  at::Tensor initial(RandomKey key);
  // Each from these values, whatever was done before; `gradients` are what is there when it begins, zero when
  // undefined.
  Fit fit(const at::Tensor& values, const Batch& batch, RandomKey key, const at::Tensor& gradients = {});
  Evaluation evaluate(const at::Tensor& values, const Batch& batch);

  // As the last call left them.
  const at::Tensor& values() const { return values_; }
  const at::Tensor& gradients() const { return gradients_; }

 private:
  void load(const at::Tensor& values);

  std::unique_ptr<Model> model_;
  at::Tensor values_, gradients_;
};

// "" when all bits are the same, else what differs: "the loss".
std::string difference(const TriedModel::Fit& one, const TriedModel::Fit& other);
std::string difference(const TriedModel::Evaluation& one, const TriedModel::Evaluation& other);

// Whether what lies between the layout's tensors is zero. `buffer`: at most [layout.size()].
bool gaps_are_zero(const Layout& layout, const at::Tensor& buffer);

}  // namespace fedmpi
