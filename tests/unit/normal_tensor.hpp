#pragma once

#include "fedmpi/random.hpp"

#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

namespace fedmpi {

// float32, standard normal, the same for the same seed.
inline at::Tensor normal_tensor(const std::vector<std::int64_t>& shape, std::uint64_t seed) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  RandomStream random(random_key(seed, Purpose::synthetic));
  float* values = tensor.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) values[i] = static_cast<float>(random.normal());
  return tensor;
}

}  // namespace fedmpi
