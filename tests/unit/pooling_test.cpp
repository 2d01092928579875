#include "pooling.hpp"

#include "normal_tensor.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

struct Pooled {
  at::Tensor maxima, gradient;
};

template <class Work>
Pooled with_gradient(const at::Tensor& images, const at::Tensor& of_maxima, const Work& work) {
  const at::Tensor leaf = images.detach().clone().requires_grad_();
  const at::Tensor maxima = work(leaf);
  maxima.backward(of_maxima);
  return {maxima.detach(), leaf.grad()};
}

TEST(PooledRelu, OfHandWrittenNumbers) {
  const at::Tensor image = at::tensor({1.0F, 3.0F, -1.0F, -2.0F,  //
                                       2.0F, 3.0F, -5.0F, -0.5F})
                               .view({1, 1, 2, 4});
  const Pooled pooled = with_gradient(image, at::tensor({10.0F, 20.0F}).view({1, 1, 1, 2}), pooled_relu);
  EXPECT_TRUE(at::equal(pooled.maxima, at::tensor({3.0F, 0.0F}).view({1, 1, 1, 2})));
  // The first of two that are alike; none that is negative.
  EXPECT_TRUE(
      at::equal(pooled.gradient, at::tensor({0.0F, 10.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F}).view({1, 1, 2, 4})));
}

TEST(PooledRelu, IsTheLibrarysOperatorsBitForBit) {
  for (const auto& shape : {std::vector<std::int64_t>{3, 17, 10, 8}, {2, 64, 7, 9}, {1, 1, 2, 2}}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const at::Tensor images = normal_tensor(shape, 1).to(dtype).contiguous(at::MemoryFormat::ChannelsLast);
      const at::Tensor gradient = normal_tensor({shape[0], shape[1], shape[2] / 2, shape[3] / 2}, 2);
      const Pooled ours = with_gradient(images, gradient, pooled_relu);
      const Pooled theirs = with_gradient(images, gradient, [](const at::Tensor& in) {
        return at::max_pool2d(in, {2, 2}).to(at::kFloat).relu();
      });
      EXPECT_TRUE(ours.maxima.is_contiguous());
      EXPECT_TRUE(at::equal(ours.maxima, theirs.maxima)) << dtype << " " << shape[1];
      EXPECT_TRUE(at::equal(ours.gradient, theirs.gradient)) << dtype << " " << shape[1];
    }
  }
}

TEST(PooledRelu, ANumberThatIsNoneIsNotLost) {
  for (int pixel = 0; pixel < 4; ++pixel) {
    at::Tensor image = at::full({1, 1, 2, 2}, 1.0F);
    image.view(-1)[pixel] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(pooled_relu(image).item<float>())) << pixel;
    EXPECT_TRUE(std::isnan(pooled_relu(image.to(at::kBFloat16)).item<float>())) << pixel;
  }
}

}  // namespace
}  // namespace fedmpi
