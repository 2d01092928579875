#include "compression_codecs.hpp"
#include "fedmpi/error.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr std::int64_t longest_vector = std::int64_t{1} << 32;

// In the order of the magnitudes themselves.
std::uint32_t magnitude_bits(float value) {
  return std::bit_cast<std::uint32_t>(value) & 0x7fffffff;
}

// The bin of counts in which the `wanted`th element from above is; `wanted` then counts from that bin's own top.
std::uint32_t bin_of(const std::vector<std::int64_t>& counts, std::int64_t& wanted) {
  std::size_t bin = counts.size() - 1;
  for (; counts[bin] < wanted; --bin) wanted -= counts[bin];
  return static_cast<std::uint32_t>(bin);
}

class TopKCodec final : public UpdateCodec {
 public:
  explicit TopKCodec(double fraction) : fraction_{fraction} {}

  std::int64_t encoded_bytes(std::int64_t size) const override {
    if (size > longest_vector)
      throw Error(
          fmt::format("the compression \"top_k\" is for at most {} parameters, and there are {}: choose another",
                      longest_vector, size));
    return static_cast<std::int64_t>(sizeof(std::uint32_t) + sizeof(float)) * num_kept(size);
  }

  void encode(std::span<const float> values, RandomKey, std::span<std::byte> bytes) const override {
    const std::int64_t kept = num_kept(static_cast<std::int64_t>(values.size()));
    auto* indices = reinterpret_cast<std::uint32_t*>(bytes.data());
    auto* elements = reinterpret_cast<float*>(indices + kept);
    // The smallest magnitude that is kept, by its upper and then by its lower half.
    std::int64_t at_threshold = kept;
    std::vector<std::int64_t> counts(std::size_t{1} << 16);
    for (const float value : values) ++counts[magnitude_bits(value) >> 16];
    const std::uint32_t upper = bin_of(counts, at_threshold);
    std::ranges::fill(counts, 0);
    for (const float value : values)
      if (const std::uint32_t bits = magnitude_bits(value); bits >> 16 == upper) ++counts[bits & 0xffff];
    const std::uint32_t threshold = (upper << 16) | bin_of(counts, at_threshold);
    std::int64_t written = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint32_t bits = magnitude_bits(values[i]);
      if (bits < threshold || (bits == threshold && at_threshold-- <= 0)) continue;
      indices[written] = static_cast<std::uint32_t>(i);
      elements[written++] = values[i];
    }
  }

  void decode(std::span<const std::byte> bytes, std::span<float> values) const override {
    const std::int64_t kept = num_kept(static_cast<std::int64_t>(values.size()));
    const auto* indices = reinterpret_cast<const std::uint32_t*>(bytes.data());
    const auto* elements = reinterpret_cast<const float*>(indices + kept);
    std::ranges::fill(values, 0.0F);
    for (std::int64_t i = 0; i < kept; ++i) values[indices[i]] = elements[i];
  }

 private:
  std::int64_t num_kept(std::int64_t size) const {
    return std::clamp<std::int64_t>(std::llround(fraction_ * static_cast<double>(size)),
                                    std::min<std::int64_t>(1, size), size);
  }

  double fraction_;
};

}  // namespace

std::unique_ptr<UpdateCodec> make_top_k_codec(double fraction) {
  return std::make_unique<TopKCodec>(fraction);
}

}  // namespace fedmpi
