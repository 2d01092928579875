#pragma once

#include "embedding.hpp"
#include "encoder_layer.hpp"
#include "fedmpi/model.hpp"
#include "head.hpp"

#include <memory>
#include <vector>

namespace fedmpi {

// The whole computation at one precision. `values` and `gradients` are the model's flat buffers.
class Network {
 public:
  virtual ~Network() = default;
  virtual void values_changed() = 0;
  // Adds the gradient of the batch's mean loss to `gradients`.
  virtual BatchResult fit(const PackedTokens& batch, std::span<const std::int64_t> labels, RandomKey key) = 0;
  virtual BatchResult evaluate(const PackedTokens& batch, std::span<const std::int64_t> labels) = 0;
  virtual const float* logits() const = 0;  // [sequences, labels] of the last one evaluated
};

struct NetworkDescription {
  TransformerConfig config;
  NetworkPlaces places;
  std::int64_t num_labels = 0;
  Pooling pooling = Pooling::head;
};

// `description`, `values` and `gradients` must outlive the network. T of the products.
template <class T>
std::unique_ptr<Network> make_network(const NetworkDescription& description, const float* values, float* gradients);

}  // namespace fedmpi
