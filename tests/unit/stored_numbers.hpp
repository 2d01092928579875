#pragma once

#include "vector_kernels.hpp"

#include <cstring>
#include <type_traits>

namespace fedmpi {

inline float to_float(float x) {
  return x;
}
inline float to_float(Bf16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16U;
  float value = 0.0F;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// A Bf16 keeps the upper half.
template <class T>
T stored(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return {static_cast<std::uint16_t>(bits >> 16U)};
  }
}

}  // namespace fedmpi
