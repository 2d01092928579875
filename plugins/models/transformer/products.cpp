#include "products.hpp"

#include "workspace.hpp"

#include <algorithm>

#include <ATen/native/CPUBlas.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

namespace fedmpi {
namespace {

#if defined(CPUBLAS_BRGEMM_BF16BF16F32) && defined(CPUBLAS_BRGEMM_F32F32F32)
template <class T>
void library_product(std::int64_t m, std::int64_t n, std::int64_t k, const T* left, std::int64_t left_stride,
                     const T* right, std::int64_t right_stride, float* out, std::int64_t out_stride, bool add) {
  if constexpr (std::is_same_v<T, float>) {
    at::native::cpublas::brgemm(m, n, k, left_stride, right_stride, out_stride, add, left, right, out, false);
  } else {
    at::native::cpublas::brgemm(m, n, k, left_stride, right_stride, out_stride, add,
                                reinterpret_cast<const at::BFloat16*>(left),
                                reinterpret_cast<const at::BFloat16*>(right), out, true);
  }
}

// LibTorch tells only by throwing whether this processor has it.
template <class T>
bool has_library_product() {
  static const bool found = [] {
    std::vector<T> operand(32 * 32);
    std::vector<float> out(32 * 32);
    try {
      library_product<T>(16, 32, 32, operand.data(), 32, operand.data(), 32, out.data(), 32, false);
      at::native::cpublas::brgemm_release(sizeof(T) == 2);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }();
  return found;
}

template <class T>
void release_library() {
  at::native::cpublas::brgemm_release(sizeof(T) == 2);
}
#else
template <class T>
bool has_library_product() {
  return false;
}
template <class T, class... Arguments>
void library_product(Arguments...) {}
template <class T>
void release_library() {}
#endif

// Libraries split a product over threads in ways that change its bits (MKL's float32 and oneDNN's bf16 both do when
// the sums are long). So products are cut here, in a way that the sizes alone decide, and each piece is computed by one
// thread. Ranges have at least two elements, because only then parallel_for opens a parallel region, inside which the
// libraries do not start threads of their own.
template <class Work>
void for_each_piece(std::int64_t pieces, std::int64_t size, const Work& work) {
  at::parallel_for(0, std::max<std::int64_t>(pieces, 2), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < std::min(end, pieces); ++piece) {
      const std::int64_t first = piece * size / pieces, last = (piece + 1) * size / pieces;
      if (last > first) work(first, last - first);
    }
  });
}

constexpr std::int64_t weight_pieces = 4;

// Pieces of up to 2048 rows, and of so many that two or four threads share them evenly.
std::int64_t row_pieces(std::int64_t rows) {
  return rows < 64 ? 1 : 4 * ((rows + 8191) / 8192);
}

void add_block(const at::Tensor& gradient, const at::Tensor& in, float* sum, std::int64_t sum_stride, float*) {
  at::Tensor result = matrix(sum, gradient.size(1), in.size(1), sum_stride);
  at::addmm_out(result, result, gradient.t(), in);
}

void add_block(const at::Tensor& gradient, const at::Tensor& in, float* sum, std::int64_t sum_stride, Bf16* scratch) {
  const std::int64_t rows = gradient.size(1), width = in.size(1);
  at::Tensor result = matrix(scratch, rows, width);
  at::mm_out(result, gradient.t(), in);
  for (std::int64_t row = 0; row < rows; ++row) {
    kernels<Bf16>().add_to_float(scratch + row * width, sum + row * sum_stride, width);
  }
}

}  // namespace

template <class T>
void multiply(const T* in, std::int64_t rows, const T* weight, std::int64_t out_width, std::int64_t in_width, T* out) {
  for_each_piece(row_pieces(rows), rows, [&](std::int64_t begin, std::int64_t count) {
    at::Tensor result = matrix(out + begin * out_width, count, out_width);
    at::mm_out(result, matrix(in + begin * in_width, count, in_width), matrix(weight, out_width, in_width).t());
  });
}

template <class T>
void multiply_back(const T* gradient, std::int64_t rows, const T* weight, std::int64_t out_width, std::int64_t in_width,
                   T* out) {
  for_each_piece(row_pieces(rows), rows, [&](std::int64_t begin, std::int64_t count) {
    at::Tensor result = matrix(out + begin * in_width, count, in_width);
    at::mm_out(result, matrix(gradient + begin * out_width, count, out_width), matrix(weight, out_width, in_width));
  });
}

template <class T>
void add_weight_gradient(const T* gradient, std::int64_t rows, const T* in, std::int64_t out_width,
                         std::int64_t in_width, float* sum, T* scratch) {
  const bool by_out = out_width >= in_width;
  for_each_piece(weight_pieces, by_out ? out_width : in_width, [&](std::int64_t begin, std::int64_t count) {
    const std::int64_t out = by_out ? begin : 0, num_out = by_out ? count : out_width;
    const std::int64_t first_in = by_out ? 0 : begin, num_in = by_out ? in_width : count;
    add_block(matrix(gradient + out, rows, num_out, out_width), matrix(in + first_in, rows, num_in, in_width),
              sum + out * in_width + first_in, in_width, scratch + begin * (by_out ? in_width : out_width));
  });
}

template <class T>
void small_product(std::int64_t m, std::int64_t n, std::int64_t k, const T* left, std::int64_t left_stride,
                   const T* right, std::int64_t right_stride, float* out, std::int64_t out_stride, bool add) {
  if (has_library_product<T>()) {
    library_product<T>(m, n, k, left, left_stride, right, right_stride, out, out_stride, add);
  } else {
    kernels<T>().product(m, n, k, left, left_stride, right, right_stride, out, out_stride, add);
  }
}

template <class T>
void release_products() {
  if (has_library_product<T>()) release_library<T>();
}

#define FEDMPI_INSTANTIATE(T)                                                                                  \
  template void multiply(const T*, std::int64_t, const T*, std::int64_t, std::int64_t, T*);                    \
  template void add_weight_gradient(const T*, std::int64_t, const T*, std::int64_t, std::int64_t, float*, T*); \
  template void multiply_back(const T*, std::int64_t, const T*, std::int64_t, std::int64_t, T*);               \
  template void small_product(std::int64_t, std::int64_t, std::int64_t, const T*, std::int64_t, const T*,      \
                              std::int64_t, float*, std::int64_t, bool);                                       \
  template void release_products<T>();
FEDMPI_INSTANTIATE(float)
FEDMPI_INSTANTIATE(Bf16)
#undef FEDMPI_INSTANTIATE

}  // namespace fedmpi
