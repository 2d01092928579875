#pragma once

#include "parameters.hpp"
#include "products.hpp"
#include "workspace.hpp"

#include <cstdint>

namespace fedmpi {

// A matrix [out_width, in_width], or a block of its rows, as products read it. Its adapters stand side by side: the
// matrix is weight + up * down.
template <class T>
struct MatrixWeights {
  const T* weight = nullptr;
  const T* down = nullptr;  // [depth, in_width], zero below the last adapter
  const T* up = nullptr;    // [out_width, depth], times the scale
  std::int64_t depth = 0;   // 0: no adapters
  std::int64_t first_row = 0;

  MatrixWeights rows_from(std::int64_t row, std::int64_t in_width) const {
    return {weight + row * in_width, down, depth > 0 ? up + row * depth : nullptr, depth, first_row + row};
  }
};

// The least depth that holds a matrix's adapters and that products take.
std::int64_t adapter_depth(const MatrixPlaces& places);

// Writes MatrixWeights::down and up; what lies between the adapters must be zero already.
template <class T>
void pack_adapters(const MatrixPlaces& places, const float* values, std::int64_t in_width, std::int64_t depth, T* down,
                   T* up);

// Products with a matrix and its adapters (Hu et al. 2021): in * weight^T + (in * down^T) * up^T, summed before it is
// rounded. The full product of up and down is never made.
template <class T>
class AdaptedProducts {
 public:
  // `low` keeps [rows, depth] for the backward.
  void multiply(const T* in, std::int64_t rows, const MatrixWeights<T>& matrix, std::int64_t out_width,
                std::int64_t in_width, Buffer<T>& low, T* out);

  // The backward of one product: begin_back comes first, the others need not.
  void begin_back(const T* gradient, std::int64_t rows, const MatrixWeights<T>& matrix, std::int64_t out_width);
  void multiply_back(const T* gradient, std::int64_t rows, const MatrixWeights<T>& matrix, std::int64_t out_width,
                     std::int64_t in_width, T* out);
  // Of what is trained of the matrix.
  void add_weight_gradients(const T* gradient, std::int64_t rows, const T* in, const MatrixWeights<T>& matrix,
                            const MatrixPlaces& places, const Buffer<T>& low, std::int64_t out_width,
                            std::int64_t in_width, float* gradients);

 private:
  void add_adapter_gradients(const T* gradient, std::int64_t rows, const T* in, const MatrixWeights<T>& matrix,
                             const MatrixPlaces& places, const Buffer<T>& low, std::int64_t out_width,
                             std::int64_t in_width, float* gradients);

  Products<T> products_;
  Buffer<T> low_gradient_;
  Buffer<float> sums_;
};

}  // namespace fedmpi
