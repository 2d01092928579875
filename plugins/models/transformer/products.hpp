#pragma once

#include "vector_kernels.hpp"

#include <cstdint>

namespace fedmpi {

// out [rows, out_width] = in [rows, in_width] * weight^T, weight [out_width, in_width].
template <class T>
void multiply(const T* in, std::int64_t rows, const T* weight, std::int64_t out_width, std::int64_t in_width, T* out);

// The gradient of `in` from that of `out`: gradient [rows, out_width] * weight.
template <class T>
void multiply_back(const T* gradient, std::int64_t rows, const T* weight, std::int64_t out_width, std::int64_t in_width,
                   T* out);

// sum [out_width, in_width] += gradient^T * in. `scratch` has room for as many elements.
template <class T>
void add_weight_gradient(const T* gradient, std::int64_t rows, const T* in, std::int64_t out_width,
                         std::int64_t in_width, float* sum, T* scratch);

// Kernels::product by the processor's matrix units where LibTorch reaches them. Rows and depth must be multiples of
// 16, or what the kernel can take. Call release_products() when a thread has done a series of them.
template <class T>
void small_product(std::int64_t m, std::int64_t n, std::int64_t k, const T* left, std::int64_t left_stride,
                   const T* right, std::int64_t right_stride, float* out, std::int64_t out_stride, bool add);

template <class T>
void release_products();

}  // namespace fedmpi
