#include "linear_layer.hpp"

#include "normal_tensor.hpp"

#include <cstdint>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

void expect_close(const at::Tensor& ours, const at::Tensor& exact) {
  EXPECT_LE((ours.to(at::kDouble) - exact).norm().item<double>(), 1e-6 * exact.norm().item<double>());
}

// With few rows and with many, a weight that is multiplied in blocks and some that are not.
TEST(LinearLayer, IsTheProductAndItsGradients) {
  for (const std::int64_t rows : {1, 2, 3, 5, 8, 9, 40})
    for (const auto& shape : {std::vector<std::int64_t>{128, 600}, {130, 600}, {12, 7}}) {
      SCOPED_TRACE(testing::Message() << rows << " rows, weight " << shape[0] << " x " << shape[1]);
      const at::Tensor in = normal_tensor({rows, shape[1]}, 1).requires_grad_();
      const at::Tensor weight = normal_tensor(shape, 2).requires_grad_(),
                       bias = normal_tensor({shape[0]}, 3).requires_grad_();
      const at::Tensor change = normal_tensor({rows, shape[0]}, 4);
      weight.mutable_grad() = at::full(shape, 7.0F);  // whatever was there
      const at::Tensor out = linear_layer(in, weight, bias);
      out.backward(change);

      const at::Tensor x = in.detach().to(at::kDouble), w = weight.detach().to(at::kDouble), d = change.to(at::kDouble);
      expect_close(out.detach(), x.mm(w.t()) + bias.detach().to(at::kDouble));
      expect_close(in.grad(), d.mm(w));
      expect_close(weight.grad(), d.t().mm(x));
      expect_close(bias.grad(), d.sum(0));
    }
}

TEST(LinearLayer, AFrozenWeightIsLeftAlone) {
  const at::Tensor weight = normal_tensor({4, 3}, 2), bias = normal_tensor({4}, 3),
                   in = normal_tensor({2, 3}, 1).requires_grad_();
  linear_layer(in, weight, bias).sum().backward();
  EXPECT_FALSE(weight.grad().defined());
  EXPECT_TRUE(in.grad().defined());
}

}  // namespace
}  // namespace fedmpi
