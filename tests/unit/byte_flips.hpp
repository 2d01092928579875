#pragma once

#include <functional>
#include <random>
#include <string>

namespace fedmpi {

// Calls `visit` with the bytes and, in them, another byte at one of `count` places: always the same ones.
inline void with_flipped_bytes(const std::string& good, int count,
                               const std::function<void(const std::string& bad, std::size_t place)>& visit) {
  std::mt19937_64 random(42);
  for (int i = 0; i < count; ++i) {
    const std::size_t place = random() % good.size();
    std::string bad = good;
    bad[place] = static_cast<char>(bad[place] ^ static_cast<char>(1 + random() % 255));
    visit(bad, place);
  }
}

}  // namespace fedmpi
