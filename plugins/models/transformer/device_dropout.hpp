#pragma once

#include "fedmpi/random.hpp"

#include <ATen/core/Tensor.h>

namespace fedmpi {

// `in` (any shape, floating-point, on any device) with each element dropped with this probability, to the nearest
// 1/65536, and the others scaled up. Which are dropped is a function of the key and an element's place in `in` alone;
// the numbers are made on in's device. Autograd sees it.
at::Tensor dropped_on_device(const at::Tensor& in, double probability, RandomKey key);

}  // namespace fedmpi
