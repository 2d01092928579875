#pragma once

#include "network.hpp"

#include <cstdint>
#include <memory>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// The same computation as make_network's, written with LibTorch's operators and autograd, on whatever device `values`
// and `gradients` are: float32, as Model::bind takes them. Batches, labels and logits are on the host. Precision::bf16:
// the layers' linear products and attention's are in bf16, weights are rounded in the graph; norms, softmax, the
// residual stream, the head and the loss are in float32. Dropout draws other numbers than make_network's. No operator
// adds in an order of its own once at::globalContext() asks for deterministic algorithms.
// A batch is computed in parts, one after another, that keep about `part_limit` elements a layer for a backward:
// attention scores, padding included, and some ten rows a token. `description` must outlive the network.
std::unique_ptr<Network> make_device_network(const NetworkDescription& description, const at::Tensor& values,
                                             const at::Tensor& gradients, Precision precision,
                                             std::int64_t part_limit = std::int64_t{1} << 28);

}  // namespace fedmpi
