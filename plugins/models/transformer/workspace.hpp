#pragma once

#include "vector_kernels.hpp"

#include <algorithm>
#include <cstdint>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

namespace fedmpi {

template <class T>
inline constexpr at::ScalarType scalar_type = at::kFloat;
template <>
inline constexpr at::ScalarType scalar_type<Bf16> = at::kBFloat16;
template <>
inline constexpr at::ScalarType scalar_type<std::int64_t> = at::kLong;

inline std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// A tensor over memory that somebody else keeps.
template <class T>
at::Tensor matrix(const T* data, std::int64_t rows, std::int64_t columns, std::int64_t stride = -1) {
  return at::from_blob(const_cast<T*>(data), {rows, columns}, {stride < 0 ? columns : stride, 1},
                       at::TensorOptions().dtype(scalar_type<T>));
}

// Memory that grows to what is asked for and is kept from step to step. Zero when new.
template <class T>
class Buffer {
 public:
  T* reserve(std::int64_t size) {
    if (!storage_.defined() || storage_.numel() < size) {
      storage_ = at::Tensor();
      storage_ = at::zeros({size}, at::TensorOptions().dtype(scalar_type<T>));
    }
    return data();
  }
  T* data() const { return storage_.defined() ? static_cast<T*>(storage_.mutable_data_ptr()) : nullptr; }

 private:
  at::Tensor storage_;
};

// Rows are worked on, and sums over rows taken, in blocks of this size whatever the number of threads.
inline constexpr std::int64_t block_rows = 64;

inline std::int64_t num_blocks(std::int64_t rows) {
  return (rows + block_rows - 1) / block_rows;
}

// work(block, first row, number of rows), in parallel.
template <class Work>
void for_each_block(std::int64_t rows, const Work& work) {
  at::parallel_for(0, num_blocks(rows), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      work(block, block * block_rows, std::min(block_rows, rows - block * block_rows));
    }
  });
}

// sums[i] += the partial sums of all blocks, in order. `partial` is [blocks, stride]. nullptr: nobody asks for them.
void add_partial_sums(const float* partial, std::int64_t blocks, std::int64_t stride, std::int64_t width, float* sums);

}  // namespace fedmpi
