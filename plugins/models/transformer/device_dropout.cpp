#include "device_dropout.hpp"

#include <cmath>
#include <cstdint>

#include <ATen/ATen.h>

namespace fedmpi {
namespace {

at::Scalar word(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}

// x ^= x >> bits of what ATen takes for signed numbers.
void xor_shifted(at::Tensor x, int bits) {
  x.bitwise_xor_(x.bitwise_right_shift(at::Scalar(bits)).bitwise_and_(word(~std::uint64_t{0} >> bits)));
}

// `count` words of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) from this seed. It passes BigCrush; streams are pieces
// of one cycle of 2^64 words, which keys, themselves random, practically never make overlap.
at::Tensor splitmix_words(std::uint64_t seed, std::int64_t count, at::Device device) {
  at::Tensor x = at::arange(1, count + 1, at::TensorOptions().dtype(at::kLong).device(device));
  x.mul_(word(0x9e3779b97f4a7c15U)).add_(word(seed));
  xor_shifted(x, 30);
  x.mul_(word(0xbf58476d1ce4e5b9U));
  xor_shifted(x, 27);
  x.mul_(word(0x94d049bb133111ebU));
  xor_shifted(x, 31);
  return x;
}

}  // namespace

at::Tensor dropped_on_device(const at::Tensor& in, double probability, RandomKey key) {
  const auto threshold = static_cast<std::int64_t>(std::lround(probability * 65536.0));
  if (threshold == 0) return in;
  constexpr std::int64_t numbers_a_word = 4, least = -32768;
  const std::int64_t count = (in.numel() + numbers_a_word - 1) / numbers_a_word;
  const at::Tensor numbers = splitmix_words(key.value, count, in.device()).view(at::kShort).narrow(0, 0, in.numel());
  const at::Tensor kept = numbers.ge(at::Scalar(least + threshold)).view(in.sizes());
  return in.mul(kept).mul(65536.0 / static_cast<double>(65536 - threshold));
}

}  // namespace fedmpi
