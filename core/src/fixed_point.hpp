#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <span>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

namespace fedmpi {

// An exact sum of weighted float32 vectors: weight * value is formed in double, rounded once to a multiple of 2^-32
// and summed as 64-bit integers, which is associative: the sum does not depend on order, on the number of ranks or on
// how a reduction is shaped. (The idea of fixed-point accumulation: Kulisch, "Computer Arithmetic and Validity",
// ch. 8.) Rounding: at most 2^-33 a contribution, before the division by the total weight.
class FEDMPI_API FixedPointSum {
 public:
  // On the device on which what is added lies.
  explicit FixedPointSum(std::int64_t size, at::Device device = at::kCPU);

  // Starts a sum of at most `max_contributions` vectors over all ranks, which bounds each so that it cannot overflow.
  void clear(std::int64_t max_contributions);

  // Adds weight * values, given in parts, float32 and contiguous, of `size` elements together, to the same bits on
  // every device. Error, with nothing added, when an element is not finite or larger than the bound 2^30 /
  // max_contributions, weight included.
  void add(std::span<const at::Tensor> parts, double weight);

  // int64 [size], in units of 2^-32: what a reduction sums over ranks.
  at::Tensor sum() const { return sum_; }

  // sum / total_weight, float32 [size].
  at::Tensor mean(double total_weight) const;

 private:
  at::Tensor sum_;
  double bound_ = 0.0;
};

// What FixedPointSum does with parts on other devices than the CPU, with LibTorch's operators, to the same bits:
// whether each |weight * element| is at most `bound`; sum += factor * part, rounded to even; and sum / divisor. part
// and quotient float32, sum int64 [n].
FEDMPI_API bool fits_on_device(const at::Tensor& part, double weight, double bound);
FEDMPI_API void add_on_device(at::Tensor sum, const at::Tensor& part, double factor);
FEDMPI_API at::Tensor quotient_on_device(const at::Tensor& sum, double divisor);

}  // namespace fedmpi
