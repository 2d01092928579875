// Kernels over rows of [rows, width]; widths are multiples of 16.

template <class T>
void from_float(const float* in, T* out, std::int64_t size) {
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) store(out + i, load(in + i));
  for (; i < size; ++i) set(out[i], in[i]);
}

template <class T>
void add_to_float(const T* in, float* total, std::int64_t size) {
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) store(total + i, load(total + i) + load(in + i));
  for (; i < size; ++i) total[i] += to_float(in[i]);
}

// z = residual + drop(branch + bias), and the sum of z.
template <class T>
INLINE Floats add_branch(const NormForward<T>& a, std::int64_t row) {
  float* z = a.residual + row * a.width;
  const T* branch = a.branch + row * a.width;
  Floats total{};
  Mask mask{a.branch_dropout, static_cast<std::uint64_t>(a.first_row + row), 0, {}};
  if (a.branch_dropout.threshold == 0) {
    for (std::int64_t i = 0; i < a.width; i += lanes) {
      const Floats v = load(z + i) + load(branch + i) + load(a.bias + i);
      store(z + i, v);
      total += v;
    }
  } else {
    for (std::int64_t i = 0; i < a.width; i += lanes) {
      const Floats v = load(z + i) + (load(branch + i) + load(a.bias + i)) * mask_at(mask, i);
      store(z + i, v);
      total += v;
    }
  }
  return total;
}

template <class T>
void norm_forward(const NormForward<T>& a) {
  for (std::int64_t row = 0; row < a.num_rows; ++row) {
    float* z = a.residual + row * a.width;
    Floats total{}, squares{};
    if (a.branch != nullptr) {
      total = add_branch(a, row);
    } else {
      for (std::int64_t i = 0; i < a.width; i += lanes) total += load(z + i);
    }
    const float mean = sum(total) / static_cast<float>(a.width);
    for (std::int64_t i = 0; i < a.width; i += lanes) {
      const Floats v = load(z + i) - mean;
      squares += v * v;
    }
    const float inverse = 1.0F / __builtin_sqrtf(sum(squares) / static_cast<float>(a.width) + a.epsilon);
    a.mean[row] = mean;
    a.inverse_deviation[row] = inverse;
    Mask mask{a.output_dropout, static_cast<std::uint64_t>(a.first_row + row), 0, {}};
    for (std::int64_t i = 0; i < a.width; i += lanes) {
      Floats v = (load(z + i) - mean) * inverse * load(a.weight + i) + load(a.offset + i);
      if (a.output_dropout.threshold != 0) v = v * mask_at(mask, i);
      store(a.out + row * a.width + i, v);
      store(a.out_product + row * a.width + i, v);
    }
  }
}

template <class T>
void norm_backward(const NormBackward<T>& a) {
  const auto width = static_cast<float>(a.width);
  for (std::int64_t i = 0; i < a.width; ++i) a.weight_sums[i] = a.offset_sums[i] = 0.0F;
  if (a.branch_gradient != nullptr)
    for (std::int64_t i = 0; i < a.width; ++i) a.bias_sums[i] = 0.0F;
  for (std::int64_t row = 0; row < a.num_rows; ++row) {
    float* gradient = a.gradient + row * a.width;
    const float* z = a.z + row * a.width;
    const float mean = a.mean[row], inverse = a.inverse_deviation[row];
    Floats plain{}, scaled{};
    Mask out_mask{a.output_dropout, static_cast<std::uint64_t>(a.first_row + row), 0, {}};
    for (std::int64_t i = 0; i < a.width; i += lanes) {
      Floats g = load(gradient + i);
      if (a.more_gradient != nullptr) g += load(a.more_gradient + row * a.width + i);
      if (a.output_dropout.threshold != 0) g = g * mask_at(out_mask, i);
      const Floats normal = (load(z + i) - mean) * inverse;
      store(a.weight_sums + i, load(a.weight_sums + i) + g * normal);
      store(a.offset_sums + i, load(a.offset_sums + i) + g);
      g = g * load(a.weight + i);
      plain += g;
      scaled += g * normal;
      store(gradient + i, g);
    }
    const float mean_plain = sum(plain) / width, mean_scaled = sum(scaled) / width;
    Mask mask{a.branch_dropout, static_cast<std::uint64_t>(a.first_row + row), 0, {}};
    for (std::int64_t i = 0; i < a.width; i += lanes) {
      const Floats normal = (load(z + i) - mean) * inverse;
      Floats g = (load(gradient + i) - mean_plain - normal * mean_scaled) * inverse;
      store(gradient + i, g);
      if (a.branch_gradient == nullptr) continue;
      if (a.branch_dropout.threshold != 0) g = g * mask_at(mask, i);
      store(a.branch_gradient + row * a.width + i, g);
      store(a.bias_sums + i, load(a.bias_sums + i) + g);
    }
  }
}

template <class T>
void gelu_forward(std::int64_t rows, std::int64_t width, const T* in, const float* bias, T* out) {
  for (std::int64_t row = 0; row < rows; ++row, in += width, out += width) {
    for (std::int64_t i = 0; i < width; i += lanes) {
      const Floats x = load(in + i) + load(bias + i);
      store(out + i, x * 0.5F * (error_function(x * 0.70710678F) + 1.0F));
    }
  }
}

template <class T>
void gelu_backward(std::int64_t rows, std::int64_t width, const T* in, const float* bias, T* gradient, T* out,
                   float* bias_sums) {
  for (std::int64_t i = 0; i < width; ++i) bias_sums[i] = 0.0F;
  for (std::int64_t row = 0; row < rows; ++row, in += width, out += width, gradient += width) {
    for (std::int64_t i = 0; i < width; i += lanes) {
      const Floats x = load(in + i) + load(bias + i);
      const Floats cumulative = (error_function(x * 0.70710678F) + 1.0F) * 0.5F;
      const Floats density = exponential(x * x * -0.5F) * 0.39894228F;
      const Floats g = load(gradient + i) * (cumulative + x * density);
      store(out + i, x * cumulative);
      store(gradient + i, g);
      store(bias_sums + i, load(bias_sums + i) + g);
    }
  }
}

void dropout_mask(const Dropout& dropout, std::int64_t rows, std::int64_t width, float* factors) {
  for (std::int64_t row = 0; row < rows; ++row) {
    Mask mask{dropout, static_cast<std::uint64_t>(row), 0, {}};
    for (std::int64_t i = 0; i < width; i += lanes)
      store(factors + row * width + i, dropout.threshold == 0 ? all(1.0F) : mask_at(mask, i));
  }
}

template <class T>
void column_sums(std::int64_t rows, std::int64_t width, const T* in, std::int64_t stride, float* sums) {
  for (std::int64_t i = 0; i < width; ++i) sums[i] = 0.0F;
  for (std::int64_t row = 0; row < rows; ++row, in += stride)
    for (std::int64_t i = 0; i < width; i += lanes) store(sums + i, load(sums + i) + load(in + i));
}

void numbers_of_row(std::uint64_t key, std::uint64_t row, std::uint32_t plane, std::int64_t size, std::uint16_t* out) {
  for (std::int64_t i = 0; i < size; i += chunk_size) random_chunk(key, row, plane, i / chunk_size, out + i);
}
