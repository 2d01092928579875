#include "slices.hpp"

#include "one_thread_each.hpp"

#include <algorithm>
#include <numeric>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

namespace fedmpi {

namespace {

// In elements. A slice of all updates is what a rank holds at a time; a block of them, and in double precision a
// narrower one, stays in a core's cache.
constexpr std::int64_t max_slice_elements = 1 << 22, max_slice_length = 1 << 16, block_length = 1 << 12,
                       products_length = 1 << 10;

// Whole blocks, and a slice of many updates is shorter.
std::int64_t slice_length_for(std::int64_t num_updates) {
  const std::int64_t fitting = max_slice_elements / std::max<std::int64_t>(num_updates, 1);
  return std::clamp(fitting / block_length * block_length, block_length, max_slice_length);
}

std::int64_t divided(std::int64_t size, std::int64_t by) {
  return (size + by - 1) / by;
}

// rows * rows^T on and above the diagonal; what stands below it is of no use.
at::Tensor upper_products(const at::Tensor& rows) {
  constexpr std::int64_t band = 16;
  const std::int64_t n = rows.size(0);
  at::Tensor products = at::zeros({n, n}, at::kDouble);
  for (std::int64_t first = 0; first < n; first += band) {
    const std::int64_t count = std::min(band, n - first);
    products.narrow(0, first, count)
        .narrow(1, first, n - first)
        .copy_(at::mm(rows.narrow(0, first, count), rows.narrow(0, first, n - first).t()));
  }
  return products;
}

}  // namespace

Slices::Slices(std::span<const std::vector<std::int64_t>> clients, std::int64_t size) : size_{size} {
  std::vector<std::int64_t> all;
  for (const auto& own : clients) {
    num_updates_.push_back(static_cast<std::int64_t>(own.size()));
    all.insert(all.end(), own.begin(), own.end());
  }
  slice_length_ = slice_length_for(std::ssize(all));
  order_.resize(all.size());
  std::iota(order_.begin(), order_.end(), std::int64_t{0});
  std::ranges::sort(order_, {}, [&](std::int64_t row) { return all[static_cast<std::size_t>(row)]; });
}

std::int64_t Slices::num_turns() const {
  return divided(divided(size_, slice_length_), static_cast<std::int64_t>(num_updates_.size()));
}

Slices::Share Slices::share(std::int64_t turn, int rank) const {
  const std::int64_t slice = turn * static_cast<std::int64_t>(num_updates_.size()) + rank;
  const std::int64_t begin = std::min(slice * slice_length_, size_);
  return {.begin = begin, .length = std::min(slice_length_, size_ - begin)};
}

void Slices::copy_block(const at::Tensor& received, std::int64_t begin, at::Tensor rows) const {
  const float* from = received.const_data_ptr<float>() + begin;
  AT_DISPATCH_FLOATING_TYPES(rows.scalar_type(), "copy_block", [&] {
    auto* to = rows.data_ptr<scalar_t>();
    for (const std::int64_t row : order_) to = std::copy_n(from + row * received.size(1), rows.size(1), to);
  });
}

at::Tensor Slices::products(const at::Tensor& received, const at::Tensor& server_vectors) const {
  const std::int64_t length = received.size(1), num_blocks = divided(length, products_length);
  const std::int64_t n = num_updates() + server_vectors.size(0);
  std::vector<at::Tensor> parts(static_cast<std::size_t>(num_blocks));
  for_each_on_one_thread(num_blocks, [&](std::int64_t index) {
    const std::int64_t begin = index * products_length, width = std::min(products_length, length - begin);
    at::Tensor rows = at::empty({n, width}, at::kDouble);
    copy_block(received, begin, rows.narrow(0, 0, num_updates()));
    rows.narrow(0, num_updates(), server_vectors.size(0)).copy_(server_vectors.narrow(1, begin, width));
    parts[static_cast<std::size_t>(index)] = upper_products(rows);
  });
  at::Tensor sum = at::zeros({n, n}, at::kDouble);
  for (const at::Tensor& part : parts) sum.add_(part);
  return sum.triu().add_(sum.triu(1).t());
}

void Slices::aggregate(const Strategy& strategy, const FitRound& round, const at::Tensor& received, at::Tensor global,
                       at::Tensor server_vectors) const {
  const std::int64_t length = received.size(1);
  for_each_on_one_thread(divided(length, block_length), [&](std::int64_t index) {
    const std::int64_t begin = index * block_length, width = std::min(block_length, length - begin);
    at::Tensor rows = at::empty({num_updates(), width}, at::kFloat);
    copy_block(received, begin, rows);
    strategy.aggregate_slice(global.narrow(0, begin, width), server_vectors.narrow(1, begin, width), rows, round);
  });
}

}  // namespace fedmpi
