#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// For strategies on slices. `rows`: float32 [n, length], contiguous, one row an update. Any thread; each call works on
// its own thread alone.

// 0, 1, .. n - 1.
FEDMPI_API std::vector<std::int64_t> all_rows(std::int64_t n);

// Sorts every column in ascending order, in place (Batcher's merge exchange; Knuth, TAOCP 5.2.2, algorithm M).
FEDMPI_API void sort_columns(at::Tensor rows);

// The middle of each sorted column, or the mean of its two middle values: float32 [length].
FEDMPI_API at::Tensor median_of_sorted(const at::Tensor& rows);

// sum(weights[i] * rows[i]), in double, float32 [length]. std::logic_error unless there is a weight for each row.
FEDMPI_API at::Tensor combine_rows(const at::Tensor& rows, std::span<const double> weights);

// |rows[i] - sum(weights[j] * rows[j])| from the rows' inner products, a weight and a result for each row.
FEDMPI_API std::vector<double> distances_from_combination(const at::Tensor& products, std::span<const double> weights);

// |rows[i] - rows[j]|^2 from the rows' inner products, float64 [n, n]; never negative, zero on the diagonal.
FEDMPI_API at::Tensor squared_distances(const at::Tensor& products);

}  // namespace fedmpi
