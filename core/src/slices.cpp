#include "slices.hpp"

#include "parallel_blocks.hpp"

#include <algorithm>
#include <numeric>

#include <ATen/ATen.h>

namespace fedmpi {

namespace {

// In elements. A slice of all updates is what a rank holds at a time, a block of them stays in a core's cache.
constexpr std::int64_t slice_length = 1 << 16, block_length = 1 << 12;

std::int64_t divided(std::int64_t size, std::int64_t by) {
  return (size + by - 1) / by;
}

}  // namespace

Slices::Slices(std::span<const std::vector<std::int64_t>> clients, std::int64_t size) : size_{size} {
  std::vector<std::int64_t> all;
  for (const auto& own : clients) {
    num_updates_.push_back(static_cast<std::int64_t>(own.size()));
    all.insert(all.end(), own.begin(), own.end());
  }
  order_.resize(all.size());
  std::iota(order_.begin(), order_.end(), std::int64_t{0});
  std::ranges::sort(order_, {}, [&](std::int64_t row) { return all[static_cast<std::size_t>(row)]; });
}

std::int64_t Slices::num_turns() const {
  return divided(divided(size_, slice_length), static_cast<std::int64_t>(num_updates_.size()));
}

Slices::Share Slices::share(std::int64_t turn, int rank) const {
  const std::int64_t slice = turn * static_cast<std::int64_t>(num_updates_.size()) + rank;
  const std::int64_t begin = std::min(slice * slice_length, size_);
  return {.begin = begin, .length = std::min(slice_length, size_ - begin)};
}

at::Tensor Slices::block(const at::Tensor& received, std::int64_t begin, std::int64_t length) const {
  at::Tensor rows = at::empty({num_updates(), length}, at::kFloat);
  const float* from = received.const_data_ptr<float>() + begin;
  float* to = rows.data_ptr<float>();
  for (const std::int64_t row : order_) {
    std::copy_n(from + row * received.size(1), length, to);
    to += length;
  }
  return rows;
}

at::Tensor Slices::products(const at::Tensor& received, const at::Tensor& server_vectors) const {
  const std::int64_t length = received.size(1), num_blocks = divided(length, block_length);
  std::vector<at::Tensor> parts(static_cast<std::size_t>(num_blocks));
  parallel_blocks(num_blocks, [&](std::int64_t index) {
    const std::int64_t begin = index * block_length, width = std::min(block_length, length - begin);
    const at::Tensor rows =
        at::cat({block(received, begin, width), server_vectors.narrow(1, begin, width)}).to(at::kDouble);
    parts[static_cast<std::size_t>(index)] = at::mm(rows, rows.t());
  });
  const std::int64_t n = num_updates() + server_vectors.size(0);
  at::Tensor sum = at::zeros({n, n}, at::kDouble);
  for (const at::Tensor& part : parts) sum.add_(part);
  return sum;
}

void Slices::aggregate(const Strategy& strategy, const FitRound& round, const at::Tensor& received, at::Tensor global,
                       at::Tensor server_vectors) const {
  const std::int64_t length = received.size(1);
  parallel_blocks(divided(length, block_length), [&](std::int64_t index) {
    const std::int64_t begin = index * block_length, width = std::min(block_length, length - begin);
    strategy.aggregate_slice(global.narrow(0, begin, width), server_vectors.narrow(1, begin, width),
                             block(received, begin, width), round);
  });
}

}  // namespace fedmpi
