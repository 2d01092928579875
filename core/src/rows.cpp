#include "fedmpi/rows.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

namespace fedmpi {

namespace {

// Columns that are worked on at a time: their values stay in the cache, and a step is a few vector instructions.
constexpr std::int64_t tile = 64;

using Exchanges = std::vector<std::pair<std::int64_t, std::int64_t>>;

// Algorithm M: which rows are compared and exchanged, in order.
Exchanges merge_exchanges(std::int64_t n) {
  Exchanges exchanges;
  std::int64_t top = 1;
  while (top * 2 < n) top *= 2;
  for (std::int64_t p = top; p > 0; p /= 2) {
    std::int64_t q = top, r = 0, d = p;
    for (;;) {
      for (std::int64_t i = 0; i + d < n; ++i)
        if ((i & p) == r) exchanges.emplace_back(i, i + d);
      if (q == p) break;
      d = q - p;
      q /= 2;
      r = p;
    }
  }
  return exchanges;
}

void exchange(float* low, float* high) {
  for (std::int64_t i = 0; i < tile; ++i) {
    const float a = low[i], b = high[i];
    low[i] = std::min(a, b);
    high[i] = std::max(a, b);
  }
}

}  // namespace

std::vector<std::int64_t> all_rows(std::int64_t n) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return all;
}

void sort_columns(at::Tensor rows) {
  const std::int64_t n = rows.size(0), length = rows.size(1);
  if (n < 2) return;
  const Exchanges exchanges = merge_exchanges(n);
  float* values = rows.data_ptr<float>();
  std::vector<float> buffer(static_cast<std::size_t>(n * tile), 0.0F);
  for (std::int64_t first = 0; first < length; first += tile) {
    const std::int64_t width = std::min(tile, length - first);
    for (std::int64_t i = 0; i < n; ++i) std::copy_n(values + i * length + first, width, buffer.data() + i * tile);
    for (const auto& [low, high] : exchanges) exchange(buffer.data() + low * tile, buffer.data() + high * tile);
    for (std::int64_t i = 0; i < n; ++i) std::copy_n(buffer.data() + i * tile, width, values + i * length + first);
  }
}

at::Tensor median_of_sorted(const at::Tensor& rows) {
  const std::int64_t n = rows.size(0);
  if (n % 2 == 1) return rows[n / 2].clone();
  const double halves[] = {0.5, 0.5};
  return combine_rows(rows.narrow(0, n / 2 - 1, 2), halves);
}

at::Tensor combine_rows(const at::Tensor& rows, std::span<const double> weights) {
  const std::int64_t n = rows.size(0), length = rows.size(1);
  if (static_cast<std::int64_t>(weights.size()) != n)
    throw std::logic_error("combine_rows needs a weight for each row");
  at::Tensor sum = at::empty({length}, at::kFloat);
  const float* values = rows.const_data_ptr<float>();
  float* output = sum.data_ptr<float>();
  for (std::int64_t first = 0; first < length; first += tile) {
    const std::int64_t width = std::min(tile, length - first);
    double total[tile] = {};
    for (std::int64_t i = 0; i < n; ++i) {
      const double weight = weights[static_cast<std::size_t>(i)];
      const float* row = values + i * length + first;
      for (std::int64_t j = 0; j < width; ++j) total[j] += weight * static_cast<double>(row[j]);
    }
    for (std::int64_t j = 0; j < width; ++j) output[first + j] = static_cast<float>(total[j]);
  }
  return sum;
}

std::vector<double> distances_from_combination(const at::Tensor& products, std::span<const double> weights) {
  const auto n = static_cast<std::int64_t>(weights.size());
  const auto product = products.accessor<double, 2>();
  std::vector<double> along(weights.size(), 0.0);  // of each row and the combination
  double square = 0.0;                             // of the combination
  for (std::int64_t i = 0; i < n; ++i) {
    double& sum = along[static_cast<std::size_t>(i)];
    for (std::int64_t j = 0; j < n; ++j) sum += weights[static_cast<std::size_t>(j)] * product[i][j];
    square += weights[static_cast<std::size_t>(i)] * sum;
  }
  std::vector<double> distances;
  for (std::int64_t i = 0; i < n; ++i)
    distances.push_back(std::sqrt(std::max(0.0, product[i][i] - 2.0 * along[static_cast<std::size_t>(i)] + square)));
  return distances;
}

at::Tensor squared_distances(const at::Tensor& products) {
  const at::Tensor norms = products.diagonal();
  // A library's product of a matrix with itself need not be symmetric to the last bit.
  at::Tensor distances = (norms.unsqueeze(0) + norms.unsqueeze(1) - (products + products.t())).clamp_min_(0.0);
  distances.fill_diagonal_(0.0);
  return distances;
}

}  // namespace fedmpi
