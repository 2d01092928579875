#include "fixed_point.hpp"

#include "fedmpi/error.hpp"
#include "node_memory.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr double scale = 0x1.0p32;
constexpr std::int64_t grain = 1 << 16;
// Elements that are worked on at a time where each step makes a tensor of its own.
constexpr std::int64_t device_piece = std::int64_t{1} << 24;

bool fits(const at::Tensor& part, double weight, double bound) {
  std::atomic<bool> too_large{false};
  const float* input = part.const_data_ptr<float>();
  at::parallel_for(0, part.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
    bool all = true;
    // Written so that a NaN does not fit.
    for (std::int64_t i = begin; i < end; ++i) all &= std::abs(weight * static_cast<double>(input[i])) <= bound;
    if (!all) too_large = true;
  });
  return !too_large;
}

void add_to(at::Tensor sum, const at::Tensor& part, double factor) {
  const float* input = part.const_data_ptr<float>();
  std::int64_t* output = sum.data_ptr<std::int64_t>();
  at::parallel_for(0, part.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      output[i] += static_cast<std::int64_t>(std::nearbyint(factor * static_cast<double>(input[i])));
  });
}

}  // namespace

bool fits_on_device(const at::Tensor& part, double weight, double bound) {
  for (const at::Tensor& piece : part.view(-1).split(device_piece))
    if (!piece.to(at::kDouble).mul_(weight).abs_().le(bound).all().item<bool>()) return false;
  return true;
}

void add_on_device(at::Tensor sum, const at::Tensor& part, double factor) {
  const auto pieces = part.view(-1).split(device_piece), sums = sum.split(device_piece);
  for (std::size_t i = 0; i < pieces.size(); ++i)
    sums[i].add_(pieces[i].to(at::kDouble).mul_(factor).round_().to(at::kLong));
}

FixedPointSum::FixedPointSum(std::int64_t size, at::Device device)
    : sum_{device.is_cpu() ? zeros_on_node({size}, at::kLong)
                           : at::zeros({size}, at::TensorOptions(at::kLong).device(device))} {}

void FixedPointSum::clear(std::int64_t max_contributions) {
  sum_.zero_();
  bound_ = 0x1.0p30 / static_cast<double>(max_contributions);
}

at::Tensor quotient_on_device(const at::Tensor& sum, double divisor) {
  at::Tensor quotient = at::empty(sum.sizes(), sum.options().dtype(at::kFloat));
  const auto pieces = quotient.split(device_piece), sums = sum.split(device_piece);
  for (std::size_t i = 0; i < pieces.size(); ++i) pieces[i].copy_(sums[i].to(at::kDouble).div_(divisor));
  return quotient;
}

void FixedPointSum::add(std::span<const at::Tensor> parts, double weight) {
  for (const at::Tensor& part : parts)
    if (!(part.is_cpu() ? fits(part, weight, bound_) : fits_on_device(part, weight, bound_)))
      throw Error(
          fmt::format("the update holds an element that is not finite or larger than {:g} (the client's weight is "
                      "{:g}): lower training.learning_rate or set training.max_gradient_norm",
                      bound_ / std::max(weight, 1.0), weight));
  std::int64_t begin = 0;
  for (const at::Tensor& part : parts) {
    const at::Tensor sum = sum_.narrow(0, begin, part.numel());
    part.is_cpu() ? add_to(sum, part, weight * scale) : add_on_device(sum, part, weight * scale);
    begin += part.numel();
  }
}

at::Tensor FixedPointSum::mean(double total_weight) const {
  if (!sum_.is_cpu()) return quotient_on_device(sum_, total_weight * scale);
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
