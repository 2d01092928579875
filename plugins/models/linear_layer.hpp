#pragma once

#include <ATen/core/Tensor.h>

namespace fedmpi {

// in * weight^T + bias, float32: in [n, k], weight [m, k], bias [m]. Backward sets weight.grad(), where there is one,
// by the product itself, so a weight can be in one layer only: autograd would write to a new tensor first, which with
// few examples takes longer than to compute it.
at::Tensor linear_layer(const at::Tensor& in, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace fedmpi
