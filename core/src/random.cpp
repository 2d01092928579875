#include "fedmpi/random.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace fedmpi {

namespace {

std::uint64_t first_words(std::uint64_t key, std::array<std::uint32_t, 4> counter) {
  const auto words = philox(key, counter);
  return (std::uint64_t{words[1]} << 32) | words[0];
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::uint64_t key, std::array<std::uint32_t, 4> counter) {
  constexpr std::uint64_t multiplier0 = 0xD2511F53, multiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t weyl0 = 0x9E3779B9, weyl1 = 0xBB67AE85;
  auto key0 = static_cast<std::uint32_t>(key);
  auto key1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = multiplier0 * counter[0];
    const std::uint64_t product1 = multiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(product0)};
    key0 += weyl0;
    key1 += weyl1;
  }
  return counter;
}

RandomKey random_key(std::uint64_t seed, Purpose purpose, std::int64_t round, std::int64_t client) {
  // Two blocks in a chain, so that all 64 bits of client and round and the purpose enter without packing.
  const auto client_bits = static_cast<std::uint64_t>(client);
  const auto round_bits = static_cast<std::uint64_t>(round);
  const std::uint64_t inner =
      first_words(seed, {static_cast<std::uint32_t>(purpose), static_cast<std::uint32_t>(round_bits),
                         static_cast<std::uint32_t>(round_bits >> 32), 1});
  return {first_words(inner,
                      {static_cast<std::uint32_t>(client_bits), static_cast<std::uint32_t>(client_bits >> 32), 0, 2})};
}

RandomKey derive(RandomKey key, std::uint64_t index) {
  return {first_words(key.value, {static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), 0, 3})};
}

std::uint32_t RandomStream::next() {
  if (used_ == 4) {
    words_ = philox(key_.value, {static_cast<std::uint32_t>(block_), static_cast<std::uint32_t>(block_ >> 32), 0, 0});
    ++block_;
    used_ = 0;
  }
  return words_[used_++];
}

void random_words(RandomKey key, std::uint64_t first_block, std::span<std::uint32_t> words) {
  for (std::size_t begin = 0; begin < words.size(); begin += 4) {
    const std::uint64_t block = first_block + begin / 4;
    const auto drawn =
        philox(key.value, {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0});
    std::copy_n(drawn.begin(), std::min<std::size_t>(4, words.size() - begin),
                words.begin() + static_cast<std::ptrdiff_t>(begin));
  }
}

std::uint64_t RandomStream::below(std::uint64_t bound) {
  // Values from the incomplete last interval are drawn again: 2^64 is no multiple of most bounds.
  const std::uint64_t rejected = (0 - bound) % bound;
  while (true) {
    const std::uint64_t low = next();
    const std::uint64_t value = (std::uint64_t{next()} << 32) | low;
    if (value >= rejected) return value % bound;
  }
}

double RandomStream::uniform() {
  const std::uint64_t low = next();
  const std::uint64_t value = (std::uint64_t{next()} << 32) | low;
  return static_cast<double>(value >> 11) * 0x1.0p-53;
}

double RandomStream::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

void RandomStream::shuffle(std::span<std::int64_t> values) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
}

}  // namespace fedmpi
