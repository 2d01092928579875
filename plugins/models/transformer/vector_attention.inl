// Kernels of attention: operands of its products, softmax and its gradient, and the product itself for processors
// without a faster one. A head's width may be any even number.

template <class T>
constexpr std::int64_t pair = sizeof(T) == 2 ? 2 : 1;

// The two halves of each word: the same columns of two rows.
INLINE Words pair_words(Floats even, Floats odd) {
  std::uint16_t bits[2 * lanes];
  store(reinterpret_cast<Bf16*>(bits), even);
  store(reinterpret_cast<Bf16*>(bits + lanes), odd);
  return widen(bits) | widen(bits + lanes) << 16;
}
INLINE void store_words(Bf16* p, Words words) {
  __builtin_memcpy(p, &words, sizeof words);
}

template <class T>
void pack_left(std::int64_t rows, std::int64_t width, const T* in, std::int64_t stride, const float* bias, float scale,
               T* out, std::int64_t padded_rows) {
  for (std::int64_t r = 0; r < rows; ++r, in += stride, out += width) {
    std::int64_t i = 0;
    for (; i + lanes <= width; i += lanes) {
      Floats v = load(in + i);
      if (bias != nullptr) v += load(bias + i);
      store(out + i, v * scale);
    }
    for (; i < width; ++i) set(out[i], (to_float(in[i]) + (bias == nullptr ? 0.0F : bias[i])) * scale);
  }
  for (std::int64_t i = 0; i < (padded_rows - rows) * width; ++i) set(out[i], 0.0F);
}

// Turns a square of words, by halves: blocks off the diagonal change places at each step.
INLINE void transpose_square(Words* rows) {
  for (std::int64_t step = lanes / 2; step > 0; step /= 2) {
    Ints upper{}, lower{};
    for (std::int64_t k = 0; k < lanes; ++k) {
      upper[k] = static_cast<std::int32_t>((k & step) == 0 ? k : lanes + k - step);
      lower[k] = static_cast<std::int32_t>((k & step) == 0 ? k + step : lanes + k);
    }
    for (std::int64_t i = 0; i < lanes; ++i) {
      if ((i & step) != 0) continue;
      const Words first = rows[i], second = rows[i + step];
      rows[i] = __builtin_shuffle(first, second, upper);
      rows[i + step] = __builtin_shuffle(first, second, lower);
    }
  }
}

// The same columns of `pair` rows in each word.
INLINE Words row_words(const float* in, std::int64_t) {
  return bits_of<Words>(load(in));
}
INLINE Words row_words(const Bf16* in, std::int64_t stride) {
  return widen(&in->bits) | widen(&in[stride].bits) << 16;
}

template <class T>
void transpose(std::int64_t rows, std::int64_t width, const T* in, T* out, std::int64_t out_stride) {
  const std::int64_t block = lanes * pair<T>;
  const std::int64_t whole_rows = rows / block * block, whole_width = width / lanes * lanes;
  for (std::int64_t r = 0; r < whole_rows; r += block) {
    for (std::int64_t i = 0; i < whole_width; i += lanes) {
      Words square[lanes];
      for (std::int64_t k = 0; k < lanes; ++k) square[k] = row_words(in + (r + k * pair<T>)*width + i, width);
      transpose_square(square);
      for (std::int64_t k = 0; k < lanes; ++k)
        __builtin_memcpy(out + (i + k) * out_stride + r, &square[k], sizeof square[k]);
    }
  }
  for (std::int64_t i = 0; i < width; ++i) {
    for (std::int64_t r = i < whole_width ? whole_rows : 0; r < rows; ++r) out[i * out_stride + r] = in[r * width + i];
    for (std::int64_t r = rows; r < out_stride; ++r) set(out[i * out_stride + r], 0.0F);
  }
}

void make_panel(std::int64_t rows, std::int64_t width, const float* in, std::int64_t stride, float* out,
                std::int64_t padded_rows) {
  for (std::int64_t r = 0; r < padded_rows; ++r, in += stride, out += panel_width)
    for (std::int64_t i = 0; i < panel_width; ++i) out[i] = r < rows && i < width ? in[i] : 0.0F;
}
void make_panel(std::int64_t rows, std::int64_t width, const Bf16* in, std::int64_t stride, Bf16* out,
                std::int64_t padded_rows) {
  for (std::int64_t r = 0; r < padded_rows; r += 2, in += 2 * stride, out += 2 * panel_width) {
    std::int64_t i = 0;
    if (r + 1 < rows)
      for (; i + lanes <= width; i += lanes)
        store_words(out + 2 * i, widen(&in[i].bits) | widen(&in[stride + i].bits) << 16);
    for (; i < panel_width; ++i) {
      out[2 * i] = r < rows && i < width ? in[i] : Bf16{0};
      out[2 * i + 1] = r + 1 < rows && i < width ? in[stride + i] : Bf16{0};
    }
  }
}

// A row's columns travel in groups of `pair`, as wide as a float.
template <class T>
void transpose_panelled(std::int64_t rows, std::int64_t width, const T* in, T* out) {
  const std::int64_t words = width / pair<T>;
  for (std::int64_t first = 0; first < rows; first += panel_width, out += panel_width * width) {
    const std::int64_t count = rows - first < panel_width ? rows - first : panel_width;
    for (std::int64_t i = 0; i < words; ++i)
      for (std::int64_t r = 0; r < count; ++r)
        __builtin_memcpy(out + (i * panel_width + r) * pair<T>, in + (first + r) * width + i * pair<T>, sizeof(float));
  }
}

template <class T>
void softmax_forward(const Softmax<T>& a, T* probabilities) {
  for (std::int64_t row = 0; row < a.num_rows; ++row) {
    float* scores = a.scores + row * a.stride;
    T* out = probabilities + row * a.stride;
    for (std::int64_t i = a.num_keys; i < a.stride; ++i) scores[i] = -1.0e30F;
    Floats top = all(-1.0e30F), total{};
    for (std::int64_t i = 0; i < a.stride; i += lanes) top = maximum(top, load(scores + i));
    const float highest = largest(top);
    for (std::int64_t i = 0; i < a.stride; i += lanes) {
      const Floats e = exponential(load(scores + i) - highest);
      store(scores + i, e);
      total += e;
    }
    const float sum_of_all = sum(total);
    a.log_sums[row * a.log_sums_stride] = highest + __builtin_logf(sum_of_all);
    const float inverse = 1.0F / sum_of_all;
    if (a.dropout.threshold == 0) {
      for (std::int64_t i = 0; i < a.stride; i += lanes) store(out + i, load(scores + i) * inverse);
      continue;
    }
    Mask mask{a.dropout, static_cast<std::uint64_t>(a.first_row + row), a.plane, {}};
    for (std::int64_t i = 0; i < a.stride; i += lanes) store(out + i, load(scores + i) * inverse * mask_at(mask, i));
  }
}

// In place: from scores and the gradients of the dropped probabilities to the gradients of the scores and the dropped
// probabilities.
template <class T>
INLINE void softmax_gradient_row(const Softmax<T>& a, std::int64_t row, float* gradient, float row_product) {
  float* scores = a.scores + row * a.stride;
  gradient += row * a.stride;
  for (std::int64_t i = a.num_keys; i < a.stride; ++i) scores[i] = -1.0e30F;
  const float log_sum = a.log_sums[row * a.log_sums_stride];
  Mask mask{a.dropout, static_cast<std::uint64_t>(a.first_row + row), a.plane, {}};
  for (std::int64_t i = 0; i < a.stride; i += lanes) {
    const Floats p = exponential(load(scores + i) - log_sum);
    const Floats factor = a.dropout.threshold == 0 ? all(1.0F) : mask_at(mask, i);
    store(scores + i, p * (load(gradient + i) * factor - row_product));
    store(gradient + i, p * factor);
  }
}

// Rows of float32, to panels.
INLINE void panel_rows(const float* in, std::int64_t stride, std::int64_t num_rows, std::int64_t row,
                       std::int64_t column, float* to) {
  for (std::int64_t i = 0; i < panel_width && column + i < stride; i += lanes)
    store(to + i, row < num_rows ? load(in + row * stride + column + i) : Floats{});
}
INLINE void panel_rows(const float* in, std::int64_t stride, std::int64_t num_rows, std::int64_t row,
                       std::int64_t column, Bf16* to) {
  const float* even = in + row * stride + column;
  for (std::int64_t i = 0; i < panel_width && column + i < stride; i += lanes) {
    const Floats first = row < num_rows ? load(even + i) : Floats{};
    const Floats second = row + 1 < num_rows ? load(even + stride + i) : Floats{};
    store_words(to + 2 * i, pair_words(first, second));
  }
}

template <class T>
void softmax_backward(const Softmax<T>& a, float* gradient, const float* products, T* panelled_probabilities,
                      T* scores_gradient, T* panelled_scores_gradient, std::int64_t padded_rows) {
  for (std::int64_t first = 0; first < padded_rows; first += pair<T>) {
    for (std::int64_t row = first; row < first + pair<T> && row < a.num_rows; ++row) {
      softmax_gradient_row(a, row, gradient, products[row]);
      for (std::int64_t i = 0; i < a.stride; i += lanes)
        store(scores_gradient + row * a.stride + i, load(a.scores + row * a.stride + i));
    }
    for (std::int64_t column = 0; column < a.stride; column += panel_width) {
      const std::int64_t to = column * padded_rows + first * panel_width;
      panel_rows(gradient, a.stride, a.num_rows, first, column, panelled_probabilities + to);
      panel_rows(a.scores, a.stride, a.num_rows, first, column, panelled_scores_gradient + to);
    }
  }
}

template <class T>
void row_products(std::int64_t rows, std::int64_t width, const T* a, std::int64_t a_stride, const T* b,
                  std::int64_t b_stride, float* sums) {
  for (std::int64_t r = 0; r < rows; ++r, a += a_stride, b += b_stride) {
    Floats total{};
    std::int64_t i = 0;
    for (; i + lanes <= width; i += lanes) total += load(a + i) * load(b + i);
    sums[r] = sum(total);
    for (; i < width; ++i) sums[r] += to_float(a[i]) * to_float(b[i]);
  }
}

template <class T>
void store_rows(std::int64_t rows, std::int64_t width, const float* in, std::int64_t in_stride, float scale, T* out,
                std::int64_t out_stride) {
  for (std::int64_t r = 0; r < rows; ++r, in += in_stride, out += out_stride) {
    std::int64_t i = 0;
    for (; i + lanes <= width; i += lanes) store(out + i, load(in + i) * scale);
    for (; i < width; ++i) set(out[i], in[i] * scale);
  }
}

template <class T>
void stream_rows(std::int64_t rows, std::int64_t width, const float* in, std::int64_t in_stride, float scale, T* out,
                 std::int64_t out_stride) {
  for (std::int64_t r = 0; r < rows; ++r, in += in_stride, out += out_stride)
    for (std::int64_t i = 0; i < width; i += 2 * lanes)
      stream(out + i, load(in + i) * scale, load(in + i + lanes) * scale);
  end_streams();
}

template <class T>
void store_transposed(std::int64_t rows, std::int64_t width, const float* in, std::int64_t in_stride, T* out,
                      std::int64_t out_stride) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < width; ++i) set(out[r * out_stride + i], in[i * in_stride + r]);
}

// A pair of a row's elements, in every lane, and its product with as many rows of a panel, added to `sum`.
INLINE Floats spread(const float* left) {
  return all(*left);
}
INLINE Words spread(const Bf16* left) {
  std::uint32_t both;
  __builtin_memcpy(&both, left, sizeof both);
  return both - Words{};
}
INLINE Floats multiply_add(Floats sum, Floats left, Floats column) {
  return sum + left * column;
}
INLINE Floats multiply_add(Floats sum, Words left, Words column) {
#if defined(__AVX512BF16__)
  return bits_of<Floats>(_mm512_dpbf16_ps(bits_of<__m512>(sum), bits_of<__m512bh>(left), bits_of<__m512bh>(column)));
#else
  sum = sum + bits_of<Floats>(left << 16) * bits_of<Floats>(column << 16);
  return sum + bits_of<Floats>(left & 0xffff0000U) * bits_of<Floats>(column & 0xffff0000U);
#endif
}
INLINE Floats load_pair(const float* p) {
  return load(p);
}
INLINE Words load_pair(const Bf16* p) {
  Words w;
  __builtin_memcpy(&w, p, sizeof w);
  return w;
}

// Sums of ROWS rows and VECTORS vectors of columns, which stay in registers.
template <int ROWS, int VECTORS, class T>
INLINE void product_block(std::int64_t k, const T* left, std::int64_t left_stride, const T* panel, float* out,
                          std::int64_t out_stride, bool add) {
  Floats sums[ROWS][VECTORS];
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) sums[r][v] = add ? load(out + r * out_stride + v * lanes) : Floats{};
  for (std::int64_t j = 0; j < k; j += pair<T>, left += pair<T>, panel += panel_width * pair<T>) {
    decltype(load_pair(panel)) columns[VECTORS];
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) columns[v] = load_pair(panel + v * lanes * pair<T>);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const auto own = spread(left + r * left_stride);
#pragma GCC unroll 8
      for (int v = 0; v < VECTORS; ++v) sums[r][v] = multiply_add(sums[r][v], own, columns[v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) store(out + r * out_stride + v * lanes, sums[r][v]);
}

template <int ROWS, int VECTORS, class T>
INLINE std::int64_t product_rows(std::int64_t row, std::int64_t m, std::int64_t k, const T* left,
                                 std::int64_t left_stride, const T* panel, float* out, std::int64_t out_stride,
                                 bool add) {
  for (; row + ROWS <= m; row += ROWS)
    product_block<ROWS, VECTORS>(k, left + row * left_stride, left_stride, panel, out + row * out_stride, out_stride,
                                 add);
  return row;
}

template <int VECTORS, class T>
INLINE void product_columns(std::int64_t m, std::int64_t k, const T* left, std::int64_t left_stride, const T* panel,
                            float* out, std::int64_t out_stride, bool add) {
  std::int64_t row = product_rows<6, VECTORS>(0, m, k, left, left_stride, panel, out, out_stride, add);
  row = product_rows<2, VECTORS>(row, m, k, left, left_stride, panel, out, out_stride, add);
  product_rows<1, VECTORS>(row, m, k, left, left_stride, panel, out, out_stride, add);
}

// What no vector of columns covers.
template <class T>
INLINE void product_corner(std::int64_t m, std::int64_t n, std::int64_t k, const T* left, std::int64_t left_stride,
                           const T* panel, float* out, std::int64_t out_stride, bool add) {
  for (std::int64_t row = 0; row < m; ++row, left += left_stride, out += out_stride) {
    for (std::int64_t i = 0; i < n; ++i) {
      float sum = add ? out[i] : 0.0F;
      for (std::int64_t j = 0; j < k; ++j)
        sum += to_float(left[j]) * to_float(panel[((j / pair<T>)*panel_width + i) * pair<T> + j % pair<T>]);
      out[i] = sum;
    }
  }
}

template <class T>
void product(std::int64_t m, std::int64_t n, std::int64_t k, const T* left, std::int64_t left_stride, const T* panels,
             float* out, std::int64_t out_stride, bool add) {
  constexpr int vectors = lanes == 16 ? 4 : 2;
  constexpr std::int64_t depth = 512 / sizeof(T);  // of a panel's part that stays in the first cache
  for (std::int64_t first = 0; first < n; first += panel_width, panels += panel_width * k, out += panel_width) {
    const std::int64_t width = n - first < panel_width ? n - first : panel_width;
    for (std::int64_t j = 0; j < k; j += depth) {
      const std::int64_t count = k - j < depth ? k - j : depth;
      const T* panel = panels + j * panel_width;
      const bool more = add || j > 0;
      std::int64_t column = 0;
      for (; column + vectors * lanes <= width; column += vectors * lanes)
        product_columns<vectors>(m, count, left + j, left_stride, panel + column * pair<T>, out + column, out_stride,
                                 more);
      for (; column + lanes <= width; column += lanes)
        product_columns<1>(m, count, left + j, left_stride, panel + column * pair<T>, out + column, out_stride, more);
      product_corner(m, width - column, count, left + j, left_stride, panel + column * pair<T>, out + column,
                     out_stride, more);
    }
  }
}
