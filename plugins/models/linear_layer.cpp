#include "linear_layer.hpp"

#include <cstdint>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace fedmpi {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// in * weight^T. For a few rows the CPU library's product takes two of them at a time and reads the weight once for
// each two; products with a few rows of the weight read it once.
at::Tensor product(const at::Tensor& in, const at::Tensor& weight) {
  constexpr std::int64_t block = 4, few = 8, small = 1 << 16;
  const std::int64_t n = in.size(0), m = weight.size(0), k = weight.size(1);
  if (!in.is_cpu() || n <= 2 || n > few || m % block != 0 || m * k < small) return in.mm(weight.t());
  const at::Tensor blocks = weight.view({m / block, block, k}).transpose(1, 2);
  return at::bmm(in.expand({m / block, n, k}), blocks).transpose(0, 1).reshape({n, m});
}

class LinearLayer final : public torch::autograd::Function<LinearLayer> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& in, const at::Tensor& weight,
                            const at::Tensor& bias) {
    context->save_for_backward({in, weight});
    return product(in, weight).add_(bias);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &in = saved[0], &weight = saved[1], &out = gradients[0];
    at::Tensor weight_gradient = weight.grad();
    if (weight_gradient.defined()) at::mm_out(weight_gradient, out.t(), in);
    return {context->needs_input_grad(0) ? out.mm(weight) : at::Tensor(), at::Tensor(), out.sum(0)};
  }
};

}  // namespace

at::Tensor linear_layer(const at::Tensor& in, const at::Tensor& weight, const at::Tensor& bias) {
  return LinearLayer::apply(in, weight, bias);
}

}  // namespace fedmpi
