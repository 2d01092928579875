#include "products.hpp"

#include <algorithm>

#include <ATen/native/CPUBlas.h>

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

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

constexpr std::int64_t tile = panel_width;
constexpr std::int64_t depth_chunk = 256;  // of tokens, in a weight's gradient
constexpr std::int64_t depth_tile = 32;
constexpr std::int64_t cached_bytes = 768 << 10;  // of one operand, in a core's own cache

}  // namespace

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

// A few tiles of rows at a time, which stay in the cache, against all panels: matrix units are faster than what lies
// beyond it, so each panel has to serve several tiles.
template <class T>
void Products<T>::multiply_panels(const T* in, std::int64_t rows, std::int64_t depth, const T* panels,
                                  std::int64_t out_width, T* out, const LowRank<T>& more) {
  const std::int64_t together =
      std::clamp<std::int64_t>(cached_bytes / (tile * depth * static_cast<std::int64_t>(sizeof(T))), 1, 8);
  at::parallel_for(0, (rows + tile - 1) / tile, 1, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float sums[tile * tile];
    const auto multiply_tile = [&](std::int64_t i, std::int64_t column) {
      // The last tile ends with the rows and computes some of the one before again: a tile of another height would be
      // another program for the library to make.
      const std::int64_t row = std::max<std::int64_t>(0, std::min(i * tile, rows - tile));
      const std::int64_t count = std::min(tile, rows), skip = i * tile - row;
      small_product(count, tile, depth, in + row * depth, depth, panels + column * depth, tile, sums, tile, false);
      if (more.depth > 0)
        small_product(count, tile, more.depth, more.in + row * more.depth, more.depth,
                      more.weight + column * more.depth, tile, sums, tile, true);
      kernels<T>().store(count - skip, std::min(tile, out_width - column), sums + skip * tile, tile, 1.0F,
                         out + i * tile * out_width + column, out_width);
    };
    for (std::int64_t first = begin; first < end; first += together)
      for (std::int64_t column = 0; column < out_width; column += tile)
        for (std::int64_t i = first; i < std::min(first + together, end); ++i) multiply_tile(i, column);
    release_products<T>();
  });
}

template <class T>
void Products<T>::make_transposed_panels(const T* weight, std::int64_t out_width, std::int64_t in_width, T* panels) {
  at::parallel_for(0, (out_width + tile - 1) / tile, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin * tile; first < std::min(end * tile, out_width); first += tile) {
      kernels<T>().transpose_panelled(std::min(tile, out_width - first), in_width, weight + first * in_width,
                                      panels + first * in_width);
    }
  });
}

template <class T>
void Products<T>::multiply(const T* in, std::int64_t rows, const T* weight, std::int64_t out_width,
                           std::int64_t in_width, T* out, const LowRank<T>& more) {
  T* panels = panels_.reserve(round_up(out_width, tile) * in_width);
  make_transposed_panels(weight, out_width, in_width, panels);
  LowRank<T> panelled = more;
  if (more.depth > 0) {
    T* more_panels = more_panels_.reserve(round_up(out_width, tile) * more.depth);
    make_transposed_panels(more.weight, out_width, more.depth, more_panels);
    panelled.weight = more_panels;
  }
  multiply_panels(in, rows, in_width, panels, out_width, out, panelled);
}

template <class T>
void Products<T>::multiply_back(const T* gradient, std::int64_t rows, const T* weight, std::int64_t out_width,
                                std::int64_t in_width, T* out, const LowRank<T>& more) {
  T* panels = panels_.reserve(round_up(in_width, tile) * out_width);
  make_panels(weight, out_width, in_width, out_width, panels);
  LowRank<T> panelled = more;
  if (more.depth > 0) {
    T* more_panels = more_panels_.reserve(round_up(in_width, tile) * more.depth);
    make_panels(more.weight, more.depth, in_width, more.depth, more_panels);
    panelled.weight = more_panels;
  }
  multiply_panels(gradient, rows, out_width, panels, in_width, out, panelled);
}

// The columns of in [rows, width], in panels of padded_rows rows.
template <class T>
void Products<T>::make_panels(const T* in, std::int64_t rows, std::int64_t width, std::int64_t padded_rows, T* panels) {
  at::parallel_for(0, (width + tile - 1) / tile, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin * tile; first < std::min(end * tile, width); first += tile) {
      kernels<T>().make_panel(rows, std::min(tile, width - first), in + first, width, panels + first * padded_rows,
                              padded_rows);
    }
  });
}

// Tokens are taken in chunks; a chunk's gradients are transposed and its inputs panelled before the products.
template <class T>
void Products<T>::add_weight_gradient(const T* gradient, std::int64_t rows, const T* in, std::int64_t out_width,
                                      std::int64_t in_width, float* sum) {
  if (sum == nullptr) return;
  const std::int64_t chunks = (rows + depth_chunk - 1) / depth_chunk;
  const std::int64_t padded_out = round_up(out_width, tile), padded_in = round_up(in_width, tile);
  T* left = left_.reserve(chunks * depth_chunk * padded_out);
  T* panels = panels_.reserve(chunks * depth_chunk * padded_in);
  const auto depth_of = [&](std::int64_t chunk) {
    return round_up(std::min(depth_chunk, rows - chunk * depth_chunk), depth_tile);
  };
  at::parallel_for(0, chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t chunk = begin; chunk < end; ++chunk) {
      const std::int64_t first = chunk * depth_chunk, count = std::min(depth_chunk, rows - first);
      kernels<T>().transpose(count, out_width, gradient + first * out_width, left + first * padded_out,
                             depth_of(chunk));
      for (std::int64_t column = 0; column < in_width; column += tile) {
        kernels<T>().make_panel(count, std::min(tile, in_width - column), in + first * in_width + column, in_width,
                                panels + first * padded_in + column * depth_of(chunk), depth_of(chunk));
      }
    }
  });
  const std::int64_t across = padded_in / tile;
  at::parallel_for(0, padded_out / tile * across, 1, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float sums[tile * tile];
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / across * tile, column = i % across * tile;
      const std::int64_t count = std::min(tile, out_width - row), width = std::min(tile, in_width - column);
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        const std::int64_t first = chunk * depth_chunk, depth = depth_of(chunk);
        small_product(count, tile, depth, left + first * padded_out + row * depth, depth,
                      panels + first * padded_in + column * depth, tile, sums, tile, chunk > 0);
      }
      for (std::int64_t r = 0; r < count; ++r) {
        kernels<float>().add_to_float(sums + r * tile, sum + (row + r) * in_width + column, width);
      }
    }
    release_products<T>();
  });
}

template class Products<float>;
template class Products<Bf16>;

#define FEDMPI_INSTANTIATE(T)                                                                             \
  template void small_product(std::int64_t, std::int64_t, std::int64_t, const T*, std::int64_t, const T*, \
                              std::int64_t, float*, std::int64_t, bool);                                  \
  template void release_products<T>();
FEDMPI_INSTANTIATE(float)
FEDMPI_INSTANTIATE(Bf16)
#undef FEDMPI_INSTANTIATE

}  // namespace fedmpi
