// Kernels of attention: operands of its products, softmax and its gradient, and the product itself for processors
// without a faster one. A head's width may be any even number.

template <class T>
constexpr std::int64_t pair = sizeof(T) == 2 ? 2 : 1;

INLINE float bias_at(const float* bias, std::int64_t i) { return bias == nullptr ? 0.0F : bias[i]; }

template <class T>
void pack_left(std::int64_t rows, std::int64_t width, const T* in, std::int64_t stride, const float* bias, float scale,
               T* out) {
  for (std::int64_t r = 0; r < rows; ++r, in += stride, out += width)
    for (std::int64_t i = 0; i < width; ++i) set(out[i], (to_float(in[i]) + bias_at(bias, i)) * scale);
}

template <class T>
void pack_left_transposed(std::int64_t rows, std::int64_t width, const T* in, std::int64_t stride, const float* bias,
                          float scale, T* out, std::int64_t out_stride) {
  for (std::int64_t i = 0; i < width; ++i) {
    for (std::int64_t r = 0; r < rows; ++r)
      set(out[i * out_stride + r], (to_float(in[r * stride + i]) + bias_at(bias, i)) * scale);
    for (std::int64_t r = rows; r < out_stride; ++r) set(out[i * out_stride + r], 0.0F);
  }
}

template <class T>
void pack_right(std::int64_t rows, std::int64_t width, const T* in, std::int64_t stride, const float* bias, T* out,
                std::int64_t padded_rows) {
  for (std::int64_t r = 0; r < padded_rows; ++r) {
    T* to = out + (r / pair<T>)*width * pair<T> + r % pair<T>;
    for (std::int64_t i = 0; i < width; ++i)
      set(to[i * pair<T>], r < rows ? to_float(in[r * stride + i]) + bias_at(bias, i) : 0.0F);
  }
}

template <class T>
void pack_right_transposed(std::int64_t rows, std::int64_t width, const T* in, std::int64_t stride, const float* bias,
                           T* out, std::int64_t padded_rows) {
  for (std::int64_t r = 0; r < padded_rows; ++r) {
    T* to = out + (r / panel_width) * panel_width * width + (r % panel_width) * pair<T>;
    for (std::int64_t i = 0; i < width; ++i)
      set(to[(i / pair<T>)*panel_width * pair<T> + i % pair<T>],
          r < rows ? to_float(in[r * stride + i]) + bias_at(bias, i) : 0.0F);
  }
}

// `valid` of the lanes of a vector; the rest becomes `other`.
INLINE Floats keep_first(Floats v, std::int64_t valid, float other) {
  Ints index;
  for (std::int64_t i = 0; i < lanes; ++i) index[i] = static_cast<std::int32_t>(i);
  return index < static_cast<std::int32_t>(valid) ? v : all(other);
}

template <class T>
void softmax_forward(const Softmax<T>& a, T* probabilities) {
  for (std::int64_t row = 0; row < a.num_rows; ++row) {
    const float* scores = a.scores + row * a.stride;
    T* out = probabilities + row * a.stride;
    Floats top = all(-3.0e38F);
    for (std::int64_t i = 0; i < a.num_keys; i += lanes)
      top = maximum(top, keep_first(load(scores + i), a.num_keys - i, -3.0e38F));
    const float highest = largest(top);
    Floats total{};
    for (std::int64_t i = 0; i < a.num_keys; i += lanes)
      total += keep_first(exponential(load(scores + i) - highest), a.num_keys - i, 0.0F);
    const float log_sum = highest + __builtin_logf(sum(total));
    a.log_sums[row * a.log_sums_stride] = log_sum;
    Mask mask{a.dropout, static_cast<std::uint64_t>(a.first_row + row), a.plane, {}};
    for (std::int64_t i = 0; i < a.stride; i += lanes) {
      Floats p = keep_first(exponential(load(scores + i) - log_sum), a.num_keys - i, 0.0F);
      if (a.dropout.threshold != 0) p = p * mask_at(mask, i);
      store(out + i, p);
    }
  }
}

// A vector of a row, into its panel.
template <class T>
INLINE void store_panelled(T* panels, std::int64_t panel_rows, std::int64_t row, std::int64_t column, Floats v) {
  T* to = panels + (column / panel_width) * panel_width * panel_rows + (row / pair<T>)*panel_width * pair<T> +
          (column % panel_width) * pair<T> + row % pair<T>;
  if constexpr (pair<T> == 1) {
    store(to, v);
  } else {
    T values[lanes];
    store(values, v);
    for (std::int64_t i = 0; i < lanes; ++i) to[i * pair<T>] = values[i];
  }
}

template <class T>
void softmax_backward(const Softmax<T>& a, const float* gradient, const float* products, T* panelled_probabilities,
                      T* scores_gradient, T* panelled_scores_gradient, std::int64_t panel_rows) {
  for (std::int64_t row = 0; row < panel_rows; ++row) {
    const bool real = row < a.num_rows;
    const std::int64_t at = row * a.stride;
    const float log_sum = real ? a.log_sums[row * a.log_sums_stride] : 0.0F, row_product = real ? products[row] : 0.0F;
    Mask mask{a.dropout, static_cast<std::uint64_t>(a.first_row + row), a.plane, {}};
    for (std::int64_t i = 0; i < a.stride; i += lanes) {
      Floats dropped{}, change{};
      if (real) {
        const Floats p = keep_first(exponential(load(a.scores + at + i) - log_sum), a.num_keys - i, 0.0F);
        const Floats factor = a.dropout.threshold != 0 ? mask_at(mask, i) : all(1.0F);
        dropped = p * factor;
        change = p * (load(gradient + at + i) * factor - row_product);
        store(scores_gradient + at + i, change);
      }
      store_panelled(panelled_probabilities, panel_rows, row, i, dropped);
      store_panelled(panelled_scores_gradient, panel_rows, row, i, change);
    }
  }
}

template <class T>
void row_products(std::int64_t rows, std::int64_t width, const T* a, std::int64_t a_stride, const T* b,
                  std::int64_t b_stride, float* sums) {
  for (std::int64_t r = 0; r < rows; ++r, a += a_stride, b += b_stride) {
    float total = 0.0F;
    for (std::int64_t i = 0; i < width; ++i) total += to_float(a[i]) * to_float(b[i]);
    sums[r] = total;
  }
}

template <class T>
void store_rows(std::int64_t rows, std::int64_t width, const float* in, std::int64_t in_stride, float scale, T* out,
                std::int64_t out_stride) {
  for (std::int64_t r = 0; r < rows; ++r, in += in_stride, out += out_stride)
    for (std::int64_t i = 0; i < width; ++i) set(out[i], in[i] * scale);
}

template <class T>
void store_transposed(std::int64_t rows, std::int64_t width, const float* in, std::int64_t in_stride, T* out,
                      std::int64_t out_stride) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < width; ++i) set(out[r * out_stride + i], in[i * in_stride + r]);
}

template <class T>
void product(std::int64_t m, std::int64_t n, std::int64_t k, const T* left, std::int64_t left_stride, const T* right,
             std::int64_t right_stride, float* out, std::int64_t out_stride, bool add) {
  for (std::int64_t row = 0; row < m; ++row, left += left_stride, out += out_stride) {
    if (!add)
      for (std::int64_t i = 0; i < n; ++i) out[i] = 0.0F;
    for (std::int64_t j = 0; j < k; ++j) {
      const T* from = right + (j / pair<T>)*right_stride * pair<T> + j % pair<T>;
      const float factor = to_float(left[j]);
      for (std::int64_t i = 0; i < n; ++i) out[i] += factor * to_float(from[i * pair<T>]);
    }
  }
}
