#include "linear_layer.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace fedmpi {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class LinearLayer final : public torch::autograd::Function<LinearLayer> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& in, const at::Tensor& weight,
                            const at::Tensor& bias) {
    context->save_for_backward({in, weight});
    return at::addmm(bias, in, weight.t());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &in = saved[0], &weight = saved[1], &out = gradients[0];
    at::Tensor weight_gradient = weight.grad();
    if (weight_gradient.defined()) weight_gradient.addmm_(out.t(), in);
    return {context->needs_input_grad(0) ? out.mm(weight) : at::Tensor(), at::Tensor(), out.sum(0)};
  }
};

}  // namespace

at::Tensor linear_layer(const at::Tensor& in, const at::Tensor& weight, const at::Tensor& bias) {
  return LinearLayer::apply(in, weight, bias);
}

}  // namespace fedmpi
