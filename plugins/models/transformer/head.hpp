#pragma once

#include "config.hpp"
#include "fedmpi/model.hpp"
#include "parameters.hpp"
#include "products.hpp"
#include "vector_kernels.hpp"
#include "workspace.hpp"

#include <cstdint>
#include <span>

namespace fedmpi {

// From one vector a sequence to the loss, in float32: [dense, tanh or ReLU,] dropout, classifier, cross entropy.
class ClassificationHead {
 public:
  ClassificationHead(const TransformerConfig& config, const NetworkPlaces& places, std::int64_t num_labels)
      : config_{config}, places_{places}, num_labels_{num_labels} {}

  // `pooled` [sequences, width] must stay as it is until the backward. The sequences may be a part of a batch of
  // `batch_size`.
  BatchResult forward(std::span<const std::int64_t> labels, std::int64_t batch_size, const float* values,
                      const Dropout& dropout, const float* pooled);
  // Of the batch's mean loss; writes the gradient of `pooled`.
  void backward(std::span<const std::int64_t> labels, const float* values, const float* pooled, float* pooled_gradient,
                float* gradients);

  const float* logits() const { return logits_.data(); }

 private:
  bool has_dense() const { return places_.pooler_weight.exists(); }
  void activate(std::int64_t rows, const float* values, const float* pooled);

  const TransformerConfig& config_;
  const NetworkPlaces& places_;
  std::int64_t num_labels_;
  Products<float> products_;
  Buffer<float> activated_, dropped_, mask_, logits_, logits_gradient_, gradient_;
};

}  // namespace fedmpi
