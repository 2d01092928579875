#include "fedmpi/random.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace fedmpi {

namespace {

// The four words of `lanes` blocks: the compiler works on all lanes at once.
template <std::size_t lanes>
using Counters = std::array<std::array<std::uint32_t, lanes>, 4>;

template <std::size_t lanes>
void mix(std::uint64_t key, Counters<lanes>& counters) {
  constexpr std::uint64_t multiplier0 = 0xD2511F53, multiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t weyl0 = 0x9E3779B9, weyl1 = 0xBB67AE85;
  auto key0 = static_cast<std::uint32_t>(key);
  auto key1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < lanes; ++i) {
      const std::uint64_t product0 = multiplier0 * counters[0][i];
      const std::uint64_t product1 = multiplier1 * counters[2][i];
      counters[0][i] = static_cast<std::uint32_t>(product1 >> 32) ^ counters[1][i] ^ key0;
      counters[1][i] = static_cast<std::uint32_t>(product1);
      counters[2][i] = static_cast<std::uint32_t>(product0 >> 32) ^ counters[3][i] ^ key1;
      counters[3][i] = static_cast<std::uint32_t>(product0);
    }
    key0 += weyl0;
    key1 += weyl1;
  }
}

std::uint64_t first_words(std::uint64_t key, std::array<std::uint32_t, 4> counter) {
  const auto words = philox(key, counter);
  return (std::uint64_t{words[1]} << 32) | words[0];
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::uint64_t key, std::array<std::uint32_t, 4> counter) {
  Counters<1> counters{{{counter[0]}, {counter[1]}, {counter[2]}, {counter[3]}}};
  mix(key, counters);
  return {counters[0][0], counters[1][0], counters[2][0], counters[3][0]};
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
  constexpr std::size_t lanes = 8;
  while (!words.empty()) {
    Counters<lanes> counters{};
    for (std::size_t i = 0; i < lanes; ++i) {
      counters[0][i] = static_cast<std::uint32_t>(first_block + i);
      counters[1][i] = static_cast<std::uint32_t>((first_block + i) >> 32);
    }
    mix(key.value, counters);
    std::array<std::uint32_t, 4 * lanes> drawn;
    for (std::size_t i = 0; i < lanes; ++i)
      for (std::size_t word = 0; word < 4; ++word) drawn[4 * i + word] = counters[word][i];
    const std::size_t count = std::min(drawn.size(), words.size());
    std::copy_n(drawn.begin(), count, words.begin());
    words = words.subspan(count);
    first_block += lanes;
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
