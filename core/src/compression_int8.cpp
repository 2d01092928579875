#include "compression_codecs.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include <ATen/Parallel.h>

namespace fedmpi {

namespace {

constexpr float largest_code = 127.0F;
constexpr std::int64_t elements_at_once = 1 << 16;  // that a thread takes

// Both loops are written in whole numbers where that is what compilers make vector instructions of.

float largest_magnitude(std::span<const float> values) {
  std::int32_t largest = 0;  // the bits of a magnitude are in the order of magnitudes
  for (const float value : values) largest = std::max(largest, std::bit_cast<std::int32_t>(value) & 0x7fffffff);
  return std::bit_cast<float>(largest);
}

void encode_block(std::span<const float> values, float scale, std::span<const std::uint32_t> words,
                  std::int8_t* codes) {
  const float divisor = scale > 0.0F ? scale : 1.0F;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float magnitude = std::min(std::abs(values[i]) / divisor, largest_code);
    const auto whole = static_cast<std::int32_t>(magnitude);
    const auto rest = static_cast<std::int32_t>((magnitude - static_cast<float>(whole)) * 0x1p24F);
    const std::int32_t code = whole + static_cast<std::int32_t>(static_cast<std::int32_t>(words[i] >> 8) < rest);
    const std::int32_t sign = std::bit_cast<std::int32_t>(values[i]) >> 31;  // 0 or -1
    codes[i] = static_cast<std::int8_t>((code ^ sign) - sign);
  }
}

class Int8Codec final : public UpdateCodec {
 public:
  explicit Int8Codec(std::int64_t block_size) : block_size_{block_size} {}

  std::int64_t encoded_bytes(std::int64_t size) const override {
    return static_cast<std::int64_t>(sizeof(float)) * num_blocks(size) + size;
  }

  void encode(std::span<const float> values, RandomKey key, std::span<std::byte> bytes) const override {
    const auto size = static_cast<std::int64_t>(values.size());
    auto* scales = reinterpret_cast<float*>(bytes.data());
    auto* codes = reinterpret_cast<std::int8_t*>(scales + num_blocks(size));
    const std::int64_t draws = (block_size_ + 3) / 4;  // of four words, for a block
    const std::int64_t blocks_at_once = std::max<std::int64_t>(1, elements_at_once / block_size_);
    at::parallel_for(0, num_blocks(size), blocks_at_once, [&](std::int64_t first, std::int64_t last) {
      std::vector<std::uint32_t> words(static_cast<std::size_t>(4 * draws));
      for (std::int64_t block = first; block < last; ++block) {
        const std::int64_t begin = block * block_size_, length = std::min(block_size_, size - begin);
        const auto own = values.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(length));
        random_words(key, static_cast<std::uint64_t>(block * draws), words);
        scales[block] = largest_magnitude(own) / largest_code;
        encode_block(own, scales[block], words, codes + begin);
      }
    });
  }

  void decode(std::span<const std::byte> bytes, std::span<float> values) const override {
    const auto size = static_cast<std::int64_t>(values.size());
    const auto* scales = reinterpret_cast<const float*>(bytes.data());
    const auto* codes = reinterpret_cast<const std::int8_t*>(scales + num_blocks(size));
    for (std::int64_t block = 0; block < num_blocks(size); ++block) {
      const std::int64_t begin = block * block_size_, end = std::min(begin + block_size_, size);
      for (std::int64_t i = begin; i < end; ++i)
        values[static_cast<std::size_t>(i)] = static_cast<float>(codes[i]) * scales[block];
    }
  }

 private:
  std::int64_t num_blocks(std::int64_t size) const { return (size + block_size_ - 1) / block_size_; }

  std::int64_t block_size_;
};

}  // namespace

std::unique_ptr<UpdateCodec> make_int8_codec(std::int64_t block_size) {
  return std::make_unique<Int8Codec>(block_size);
}

}  // namespace fedmpi
