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

}  // namespace

template <class T>
void multiply(const T* in, std::int64_t rows, const T* weight, std::int64_t out_width, std::int64_t in_width, T* out) {
  at::Tensor result = matrix(out, rows, out_width);
  at::mm_out(result, matrix(in, rows, in_width), matrix(weight, out_width, in_width).t());
}

template <class T>
void multiply_back(const T* gradient, std::int64_t rows, const T* weight, std::int64_t out_width, std::int64_t in_width,
                   T* out) {
  at::Tensor result = matrix(out, rows, in_width);
  at::mm_out(result, matrix(gradient, rows, out_width), matrix(weight, out_width, in_width));
}

template <>
void add_weight_gradient(const float* gradient, std::int64_t rows, const float* in, std::int64_t out_width,
                         std::int64_t in_width, float* sum, float*) {
  at::Tensor result = matrix(sum, out_width, in_width);
  at::addmm_out(result, result, matrix(gradient, rows, out_width).t(), matrix(in, rows, in_width));
}

template <>
void add_weight_gradient(const Bf16* gradient, std::int64_t rows, const Bf16* in, std::int64_t out_width,
                         std::int64_t in_width, float* sum, Bf16* scratch) {
  at::Tensor result = matrix(scratch, out_width, in_width);
  at::mm_out(result, matrix(gradient, rows, out_width).t(), matrix(in, rows, in_width));
  at::parallel_for(0, out_width, 64, [&](std::int64_t begin, std::int64_t end) {
    kernels<Bf16>().add_to_float(scratch + begin * in_width, sum + begin * in_width, (end - begin) * in_width);
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

#define FEDMPI_INSTANTIATE(T)                                                                             \
  template void multiply(const T*, std::int64_t, const T*, std::int64_t, std::int64_t, T*);               \
  template void multiply_back(const T*, std::int64_t, const T*, std::int64_t, std::int64_t, T*);          \
  template void small_product(std::int64_t, std::int64_t, std::int64_t, const T*, std::int64_t, const T*, \
                              std::int64_t, float*, std::int64_t, bool);                                  \
  template void release_products<T>();
FEDMPI_INSTANTIATE(float)
FEDMPI_INSTANTIATE(Bf16)
#undef FEDMPI_INSTANTIATE

}  // namespace fedmpi
