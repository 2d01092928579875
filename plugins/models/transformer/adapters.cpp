#include "adapters.hpp"

#include <algorithm>
#include <vector>

namespace fedmpi {
namespace {

constexpr std::int64_t depth_multiple = 16;

}  // namespace

std::int64_t adapter_depth(const MatrixPlaces& places) {
  std::int64_t depth = 0;
  for (const AdapterPlaces& adapter : places.adapters) depth += adapter.rank;
  return (depth + depth_multiple - 1) / depth_multiple * depth_multiple;
}

template <class T>
void pack_adapters(const MatrixPlaces& places, const float* values, std::int64_t in_width, std::int64_t depth, T* down,
                   T* up) {
  std::vector<float> row;
  std::int64_t first = 0;
  for (const AdapterPlaces& adapter : places.adapters) {
    kernels<T>().from_float(adapter.down.in(values), down + first * in_width, adapter.rank * in_width);
    row.resize(static_cast<std::size_t>(adapter.rank));
    for (std::int64_t out = 0; out < adapter.out_width; ++out) {
      const float* from = adapter.up.in(values) + out * adapter.rank;
      std::transform(from, from + adapter.rank, row.begin(), [&](float value) { return adapter.scale * value; });
      kernels<T>().from_float(row.data(), up + (adapter.first_row + out) * depth + first, adapter.rank);
    }
    first += adapter.rank;
  }
}

template <class T>
void AdaptedProducts<T>::multiply(const T* in, std::int64_t rows, const MatrixWeights<T>& matrix,
                                  std::int64_t out_width, std::int64_t in_width, Buffer<T>& low, T* out) {
  LowRank<T> more;
  if (matrix.depth > 0) {
    more = {low.reserve(rows * matrix.depth), matrix.up, matrix.depth};
    products_.multiply(in, rows, matrix.down, matrix.depth, in_width, low.data());
  }
  products_.multiply(in, rows, matrix.weight, out_width, in_width, out, more);
}

template <class T>
void AdaptedProducts<T>::begin_back(const T* gradient, std::int64_t rows, const MatrixWeights<T>& matrix,
                                    std::int64_t out_width) {
  if (matrix.depth == 0) return;
  products_.multiply_back(gradient, rows, matrix.up, out_width, matrix.depth,
                          low_gradient_.reserve(rows * matrix.depth));
}

template <class T>
void AdaptedProducts<T>::multiply_back(const T* gradient, std::int64_t rows, const MatrixWeights<T>& matrix,
                                       std::int64_t out_width, std::int64_t in_width, T* out) {
  LowRank<T> more;
  if (matrix.depth > 0) more = {low_gradient_.data(), matrix.down, matrix.depth};
  products_.multiply_back(gradient, rows, matrix.weight, out_width, in_width, out, more);
}

template <class T>
void AdaptedProducts<T>::add_weight_gradients(const T* gradient, std::int64_t rows, const T* in,
                                              const MatrixWeights<T>& matrix, const MatrixPlaces& places,
                                              const Buffer<T>& low, std::int64_t out_width, std::int64_t in_width,
                                              float* gradients) {
  if (float* sums = places.weight.gradient(gradients))
    products_.add_weight_gradient(gradient, rows, in, out_width, in_width, sums + matrix.first_row * in_width);
  if (matrix.depth > 0) add_adapter_gradients(gradient, rows, in, matrix, places, low, out_width, in_width, gradients);
}

template <class T>
void AdaptedProducts<T>::add_adapter_gradients(const T* gradient, std::int64_t rows, const T* in,
                                               const MatrixWeights<T>& matrix, const MatrixPlaces& places,
                                               const Buffer<T>& low, std::int64_t out_width, std::int64_t in_width,
                                               float* gradients) {
  float* of_down = sums_.reserve(matrix.depth * (in_width + out_width));  // [depth, in_width]
  float* of_up = of_down + matrix.depth * in_width;                       // [depth, out_width]: transposed
  std::fill_n(of_down, matrix.depth * (in_width + out_width), 0.0F);
  products_.add_weight_gradient(low_gradient_.data(), rows, in, matrix.depth, in_width, of_down);
  products_.add_weight_gradient(low.data(), rows, gradient, matrix.depth, out_width, of_up);
  std::int64_t first = 0;
  for (const AdapterPlaces& adapter : places.adapters) {
    const std::int64_t column = adapter.first_row - matrix.first_row;
    const bool is_here = column >= 0 && column < out_width;
    if (float* down = adapter.down.gradient(gradients); is_here && down != nullptr)
      kernels<float>().add_to_float(of_down + first * in_width, down, adapter.rank * in_width);
    if (float* up = adapter.up.gradient(gradients); is_here && up != nullptr) {
      for (std::int64_t out = 0; out < adapter.out_width; ++out)
        for (std::int64_t i = 0; i < adapter.rank; ++i)
          up[out * adapter.rank + i] += adapter.scale * of_up[(first + i) * out_width + column + out];
    }
    first += adapter.rank;
  }
}

#define FEDMPI_INSTANTIATE(T)                                                                         \
  template void pack_adapters(const MatrixPlaces&, const float*, std::int64_t, std::int64_t, T*, T*); \
  template class AdaptedProducts<T>;
FEDMPI_INSTANTIATE(float)
FEDMPI_INSTANTIATE(Bf16)
#undef FEDMPI_INSTANTIATE

}  // namespace fedmpi
