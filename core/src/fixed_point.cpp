#include "fixed_point.hpp"

#include "fedmpi/error.hpp"
#include "node_memory.hpp"

#include <atomic>
#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr double scale = 0x1.0p32;
constexpr std::int64_t grain = 1 << 16;

}  // namespace

FixedPointSum::FixedPointSum(std::int64_t size) : sum_{zeros_on_node({size}, at::kLong)} {}

void FixedPointSum::clear(std::int64_t max_contributions) {
  sum_.zero_();
  bound_ = 0x1.0p30 / static_cast<double>(max_contributions);
}

void FixedPointSum::add(std::span<const at::Tensor> parts, double weight) {
  std::atomic<bool> too_large{false};
  for (const at::Tensor& part : parts) {
    const float* input = part.const_data_ptr<float>();
    at::parallel_for(0, part.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
      bool fits = true;
      // Written so that a NaN does not fit.
      for (std::int64_t i = begin; i < end; ++i) fits &= std::abs(weight * static_cast<double>(input[i])) <= bound_;
      if (!fits) too_large = true;
    });
  }
  if (too_large)
    throw Error(
        fmt::format("the update holds an element that is not finite or larger than {:g} (the client's weight is "
                    "{:g}): lower training.learning_rate or set training.max_gradient_norm",
                    bound_ / std::max(weight, 1.0), weight));
  const double factor = weight * scale;
  std::int64_t* sum = sum_.data_ptr<std::int64_t>();
  for (const at::Tensor& part : parts) {
    const float* input = part.const_data_ptr<float>();
    at::parallel_for(0, part.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        sum[i] += static_cast<std::int64_t>(std::nearbyint(factor * static_cast<double>(input[i])));
    });
    sum += part.numel();
  }
}

at::Tensor FixedPointSum::mean(double total_weight) const {
  at::Tensor mean = at::empty({sum_.numel()}, at::kFloat);
  const std::int64_t* sum = sum_.const_data_ptr<std::int64_t>();
  float* output = mean.data_ptr<float>();
  const double divisor = total_weight * scale;
  at::parallel_for(0, sum_.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) output[i] = static_cast<float>(static_cast<double>(sum[i]) / divisor);
  });
  return mean;
}

}  // namespace fedmpi
