#include "compression_codecs.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include <ATen/Parallel.h>

namespace fedmpi {

namespace {

constexpr std::int64_t piece_size = 1024, pieces_at_once = 64;  // elements; pieces that a thread takes

class Bf16Codec final : public UpdateCodec {
 public:
  explicit Bf16Codec(Rounding rounding) : rounding_{rounding} {}

  std::int64_t encoded_bytes(std::int64_t size) const override { return 2 * size; }

  void encode(std::span<const float> values, RandomKey key, std::span<std::byte> bytes) const override {
    auto* halves = reinterpret_cast<std::uint16_t*>(bytes.data());
    const auto size = static_cast<std::int64_t>(values.size());
    at::parallel_for(
        0, (size + piece_size - 1) / piece_size, pieces_at_once, [&](std::int64_t first, std::int64_t last) {
          std::array<std::uint32_t, piece_size> added;
          for (std::int64_t piece = first; piece < last; ++piece) {
            const std::int64_t begin = piece * piece_size, length = std::min(piece_size, size - begin);
            const float* value = values.data() + begin;
            if (rounding_ == Rounding::nearest) {
              for (std::int64_t i = 0; i < length; ++i) {
                const auto bits = std::bit_cast<std::uint32_t>(value[i]);
                halves[begin + i] = static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
              }
            } else {
              random_words(key, static_cast<std::uint64_t>(begin) / 4, added);
              for (std::int64_t i = 0; i < length; ++i)
                halves[begin + i] = static_cast<std::uint16_t>(
                    (std::bit_cast<std::uint32_t>(value[i]) + (added[static_cast<std::size_t>(i)] >> 16)) >> 16);
            }
          }
        });
  }

  void decode(std::span<const std::byte> bytes, std::span<float> values) const override {
    const auto* halves = reinterpret_cast<const std::uint16_t*>(bytes.data());
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = std::bit_cast<float>(static_cast<std::uint32_t>(halves[i]) << 16);
  }

 private:
  Rounding rounding_;
};

}  // namespace

UpdateCodec::~UpdateCodec() = default;

std::unique_ptr<UpdateCodec> make_bf16_codec(Rounding rounding) {
  return std::make_unique<Bf16Codec>(rounding);
}

}  // namespace fedmpi
