#include "fixed_point.hpp"

#include "fedmpi/error.hpp"
#include "node_memory.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr double scale = 0x1.0p32;
constexpr std::int64_t grain = 1 << 16;
// Elements that are worked on at a time where each step makes a tensor of its own.
constexpr std::int64_t device_piece = std::int64_t{1} << 24;

// The largest magnitude, of which a NaN is larger than any number.
float largest_magnitude(const at::Tensor& part) {
  std::atomic<std::int32_t> largest{0};
  const float* input = part.const_data_ptr<float>();
  at::parallel_for(0, part.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
    // Without their sign floats are in the order of their bits, whose maximum is found many at a time.
    std::int32_t own = 0;
    for (std::int64_t i = begin; i < end; ++i) own = std::max(own, std::bit_cast<std::int32_t>(input[i]) & 0x7fffffff);
    std::int32_t before = largest;
    while (before < own && !largest.compare_exchange_weak(before, own)) {
    }
  });
  return std::bit_cast<float>(largest.load());
}

// Written so that a NaN does not fit.
bool fits(float largest, double weight, double bound) {
  return std::abs(weight) * static_cast<double>(largest) <= bound;
}

void add_to(at::Tensor sum, const at::Tensor& part, double factor, float largest) {
  const float* input = part.const_data_ptr<float>();
  std::int64_t* output = sum.data_ptr<std::int64_t>();
  // From 2^52 to 2^53 doubles are the integers: adding one from the middle rounds, to even, and the bits count on.
  constexpr double shift = 0x1.8p52, limit = 0x1.0p51;
  const bool is_small = fits(largest, factor, limit);
  at::parallel_for(0, part.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
    if (is_small) {
      for (std::int64_t i = begin; i < end; ++i)
        output[i] += std::bit_cast<std::int64_t>(factor * static_cast<double>(input[i]) + shift) -
                     std::bit_cast<std::int64_t>(shift);
    } else {
      for (std::int64_t i = begin; i < end; ++i)
        output[i] += static_cast<std::int64_t>(std::nearbyint(factor * static_cast<double>(input[i])));
    }
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
  std::vector<float> largest;
  for (const at::Tensor& part : parts) {
    largest.push_back(part.is_cpu() ? largest_magnitude(part) : 0.0F);
    if (!(part.is_cpu() ? fits(largest.back(), weight, bound_) : fits_on_device(part, weight, bound_)))
      throw Error(
          fmt::format("the update holds an element that is not finite or larger than {:g} (the client's weight is "
                      "{:g}): lower training.learning_rate or set training.max_gradient_norm",
                      bound_ / std::max(weight, 1.0), weight));
  }
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const at::Tensor& part = parts[i];
    const at::Tensor sum = sum_.narrow(0, begin, part.numel());
    part.is_cpu() ? add_to(sum, part, weight * scale, largest[i]) : add_on_device(sum, part, weight * scale);
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
