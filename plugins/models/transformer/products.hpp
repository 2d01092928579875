#pragma once

#include "vector_kernels.hpp"
#include "workspace.hpp"

#include <cstdint>
#include <vector>

namespace fedmpi {

// A product of little depth that is added to another before that is rounded: in [rows, depth] times a weight that is
// transposed as the other product's is.
template <class T>
struct LowRank {
  const T* in = nullptr;
  const T* weight = nullptr;
  std::int64_t depth = 0;  // 0: nothing is added
};

// The products of linear layers. A library's would not do: MKL's in float32 and oneDNN's in bf16 give other bits with
// another number of threads, even when each call runs on one. Here the sizes alone decide how sums are taken.
template <class T>
class Products {
 public:
  // out [rows, out_width] = in [rows, in_width] * weight^T, weight [out_width, in_width], more.weight [out_width,
  // depth].
  void multiply(const T* in, std::int64_t rows, const T* weight, std::int64_t out_width, std::int64_t in_width, T* out,
                const LowRank<T>& more = {});

  // The gradient of `in` from that of `out`: gradient [rows, out_width] * weight; more.weight [depth, in_width].
  void multiply_back(const T* gradient, std::int64_t rows, const T* weight, std::int64_t out_width,
                     std::int64_t in_width, T* out, const LowRank<T>& more = {});

  // sum [out_width, in_width] += gradient^T * in, in float32. nullptr: nobody asks for it.
  void add_weight_gradient(const T* gradient, std::int64_t rows, const T* in, std::int64_t out_width,
                           std::int64_t in_width, float* sum);

 private:
  void make_panels(const T* in, std::int64_t rows, std::int64_t width, std::int64_t padded_rows, T* panels);
  void make_transposed_panels(const T* weight, std::int64_t out_width, std::int64_t in_width, T* panels);
  void add_product_of_columns(const T* left, std::int64_t left_width, const T* right, std::int64_t right_width,
                              std::int64_t rows, bool turned, float* sum);
  // more.weight in panels too.
  void multiply_panels(const T* in, std::int64_t rows, std::int64_t depth, const T* panels, std::int64_t out_width,
                       T* out, const LowRank<T>& more);

  Buffer<T> panels_, more_panels_, left_;
  std::vector<Buffer<float>> blocks_;  // of threads
};

}  // namespace fedmpi
