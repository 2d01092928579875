#pragma once

#include <cstdint>

namespace fedmpi {

// A bfloat16 as it lies in memory. The kernels are compiled for several instruction sets, so this header and what
// it includes must hold no inline function that could be merged across them.
struct Bf16 {
  std::uint16_t bits;
};

// Which elements are dropped is a function of the key, the row, `plane` (a head) and the column.
// threshold 0: nothing is dropped.
struct Dropout {
  std::uint64_t key = 0;
  std::uint32_t threshold = 0;  // dropped where a 16-bit random number is below
  float scale = 1.0F;
};

// z = residual + drop(branch + bias); out = drop(normalised(z) * weight + offset).
template <class T>
struct NormForward {
  std::int64_t first_row, num_rows, width;
  const T* branch;    // nullptr: none
  const float* bias;  // of the branch
  Dropout branch_dropout, output_dropout;
  float* residual;  // becomes z
  const float *weight, *offset;
  float epsilon;
  float *mean, *inverse_deviation;  // [num_rows]
  float* out;
  T* out_product;  // the same for products
};

// The gradient of NormForward. The sums are over the rows given and are overwritten.
template <class T>
struct NormBackward {
  std::int64_t first_row, num_rows, width;
  float* gradient;         // of out, becomes that of z
  const T* more_gradient;  // added to it first; nullptr: none
  Dropout branch_dropout, output_dropout;
  const float *z, *mean, *inverse_deviation, *weight;
  T* branch_gradient;  // nullptr: none
  float *weight_sums, *offset_sums, *bias_sums;
};

template <class T>
struct Softmax {
  std::int64_t first_row, num_rows, num_keys, stride;  // columns from num_keys to stride are made zero
  std::uint32_t plane;
  Dropout dropout;
  float* scores;    // [num_rows, stride], used up
  float* log_sums;  // of row r at [r * log_sums_stride], written by the forward, read by the backward
  std::int64_t log_sums_stride;
};

// A product's right operand is "panelled": cut into panels of 64 columns, each with element (k, n) at
// [(k / P) * 64 * P + n * P + k % P], P = 2 for Bf16 and 1 for float: what matrix units read. Depths are multiples of
// P.
inline constexpr std::int64_t panel_width = 64;
inline constexpr std::int64_t most_product_rows = 48;
inline constexpr std::int64_t stream_width = 32;

template <class T>
struct Kernels {
  void (*from_float)(const float* in, T* out, std::int64_t size);
  void (*add_to_float)(const T* in, float* sum, std::int64_t size);

  void (*norm_forward)(const NormForward<T>&);
  void (*norm_backward)(const NormBackward<T>&);

  // out = gelu(in + bias), exact. The backward turns `gradient` of out into that of in, gives out again, and
  // the sums of its columns.
  void (*gelu_forward)(std::int64_t rows, std::int64_t width, const T* in, const float* bias, T* out);
  void (*gelu_backward)(std::int64_t rows, std::int64_t width, const T* in, const float* bias, T* gradient, T* out,
                        float* bias_sums);
  // Dropout's factors for [rows, width]; ones where nothing is dropped.
  void (*dropout_mask)(const Dropout& dropout, std::int64_t rows, std::int64_t width, float* mask);
  void (*column_sums)(std::int64_t rows, std::int64_t width, const T* in, std::int64_t stride, float* sums);

  // [rows, width] + bias, times scale, as a left operand [padded_rows, width], zero from `rows` on.
  void (*pack_left)(std::int64_t rows, std::int64_t width, const T* in, std::int64_t stride, const float* bias,
                    float scale, T* out, std::int64_t padded_rows);
  // Of a left operand [rows, width]: the transpose as another one, whose columns from `rows` on are zero, and as a
  // right one, whose last panel's columns from `rows` on are left as they were.
  void (*transpose)(std::int64_t rows, std::int64_t width, const T* in, T* out, std::int64_t out_stride);
  void (*transpose_panelled)(std::int64_t rows, std::int64_t width, const T* in, T* out);

  // Up to 64 columns as a panel of padded_rows rows, a multiple of P, zero beyond what is given.
  void (*make_panel)(std::int64_t rows, std::int64_t width, const T* in, std::int64_t stride, T* out,
                     std::int64_t padded_rows);

  // probabilities [num_rows, stride]
  void (*softmax_forward)(const Softmax<T>&, T* probabilities);
  // From the gradients of the dropped probabilities [num_rows, stride] (used up) and, for each row, the scalar product
  // of output and output gradient: the dropped probabilities, panelled, and the gradients of the scores, as they are
  // [num_rows, stride] and panelled. Panels have `padded_rows` rows, zero beyond num_rows.
  void (*softmax_backward)(const Softmax<T>&, float* gradient, const float* row_products, T* panelled_probabilities,
                           T* scores_gradient, T* panelled_scores_gradient, std::int64_t padded_rows);
  // sums[r] = sum of a[r, :] * b[r, :]
  void (*row_products)(std::int64_t rows, std::int64_t width, const T* a, std::int64_t a_stride, const T* b,
                       std::int64_t b_stride, float* sums);
  void (*store)(std::int64_t rows, std::int64_t width, const float* in, std::int64_t in_stride, float scale, T* out,
                std::int64_t out_stride);
  // The same past the caches, for what is too much for them. width and out_stride are multiples of stream_width, out
  // is aligned to 64 bytes.
  void (*stream)(std::int64_t rows, std::int64_t width, const float* in, std::int64_t in_stride, float scale, T* out,
                 std::int64_t out_stride);
  void (*store_transposed)(std::int64_t rows, std::int64_t width, const float* in, std::int64_t in_stride, T* out,
                           std::int64_t out_stride);  // out [rows, width] from in [width, rows]

  // out [m, n] (+)= left [m, k] * right [k, n]. Fastest where m and n are multiples of 32 and k of 64 bytes.
  void (*product)(std::int64_t m, std::int64_t n, std::int64_t k, const T* left, std::int64_t left_stride,
                  const T* panels, float* out, std::int64_t out_stride, bool add);
  std::int64_t product_rows;  // the m it is fastest with where left is large; at most most_product_rows
};

// What is compiled for one instruction set.
struct KernelTables {
  Kernels<float> float32;
  Kernels<Bf16> bf16;
  // Dropout's random numbers for one row; `out` has room for `size` rounded up to 128.
  void (*dropout_numbers)(std::uint64_t key, std::uint64_t row, std::uint32_t plane, std::int64_t size,
                          std::uint16_t* out);
};

extern const KernelTables kernels_portable;
#if defined(__x86_64__)
extern const KernelTables kernels_avx2;
extern const KernelTables kernels_avx512;
#endif

// Those for the best instruction set that this processor has.
template <class T>
const Kernels<T>& kernels();
template <>
const Kernels<float>& kernels<float>();
template <>
const Kernels<Bf16>& kernels<Bf16>();

}  // namespace fedmpi
