#include "products.hpp"

#include <algorithm>
#include <iterator>

namespace fedmpi {
namespace {

constexpr std::int64_t cached_bytes = 768 << 10;  // of what is used again soon, in a core's second cache
constexpr std::int64_t streamed_bytes = 4 << 20;  // of a result that is not left in the caches
constexpr std::int64_t tile_width = 2 * panel_width;

// Of weight gradients.
constexpr std::int64_t depth_chunk = 512;  // tokens
constexpr std::int64_t depth_tile = 32;
struct BlockSize {
  std::int64_t rows, columns;
};
constexpr BlockSize block_sizes[] = {{192, 384}, {192, 192}, {128, 128}, {64, 64}};
// So that whatever the block, and with it the number of threads, the same units sum a row in the same order.
static_assert(std::ranges::all_of(block_sizes, [](const BlockSize& size) {
  return size.rows % panel_width == 0 && size.columns % panel_width == 0;
}));
// Large blocks read their operands less often, but every thread should have some.
BlockSize gradient_block(std::int64_t rows, std::int64_t columns) {
  for (const BlockSize& size : block_sizes)
    if (((rows - 1) / size.rows + 1) * ((columns - 1) / size.columns + 1) >= 2 * at::get_num_threads()) return size;
  return *std::rbegin(block_sizes);
}

template <class T>
bool can_stream(const T* out, std::int64_t width) {
  return width % stream_width == 0 && reinterpret_cast<std::uintptr_t>(out) % 64 == 0;
}

}  // namespace

// As many rows as stay in the second cache, against all panels: products are faster than what lies beyond it. Two
// panels at a time, so that a few rows are also used twice while they are in the first.
template <class T>
void Products<T>::multiply_panels(const T* in, std::int64_t rows, std::int64_t depth, const T* panels,
                                  std::int64_t out_width, T* out, const LowRank<T>& more) {
  const Kernels<T>& k = kernels<T>();
  const std::int64_t tile_rows = k.product_rows, bytes = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t together = std::max<std::int64_t>(1, cached_bytes / (tile_rows * depth * bytes));
  const bool streams = rows * out_width * bytes > streamed_bytes && can_stream(out, out_width);
  at::parallel_for(0, (rows + tile_rows - 1) / tile_rows, 1, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float sums[most_product_rows * tile_width];
    const auto multiply_tile = [&](std::int64_t i, std::int64_t column) {
      // The last tile ends with the rows and computes some of the one before again: matrix units take whole tiles.
      const std::int64_t row = std::max<std::int64_t>(0, std::min(i * tile_rows, rows - tile_rows));
      const std::int64_t count = std::min(tile_rows, rows), skip = i * tile_rows - row;
      const std::int64_t width = std::min(tile_width, round_up(out_width - column, panel_width));
      k.product(count, width, depth, in + row * depth, depth, panels + column * depth, sums, width, false);
      if (more.depth > 0)
        k.product(count, width, more.depth, more.in + row * more.depth, more.depth, more.weight + column * more.depth,
                  sums, width, true);
      (streams ? k.stream : k.store)(count - skip, std::min(tile_width, out_width - column), sums + skip * width, width,
                                     1.0F, out + i * tile_rows * out_width + column, out_width);
    };
    for (std::int64_t first = begin; first < end; first += together)
      for (std::int64_t column = 0; column < out_width; column += tile_width)
        for (std::int64_t i = first; i < std::min(first + together, end); ++i) multiply_tile(i, column);
  });
}

template <class T>
void Products<T>::make_transposed_panels(const T* weight, std::int64_t out_width, std::int64_t in_width, T* panels) {
  at::parallel_for(0, (out_width + panel_width - 1) / panel_width, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin * panel_width; first < std::min(end * panel_width, out_width);
         first += panel_width) {
      kernels<T>().transpose_panelled(std::min(panel_width, out_width - first), in_width, weight + first * in_width,
                                      panels + first * in_width);
    }
  });
}

template <class T>
void Products<T>::multiply(const T* in, std::int64_t rows, const T* weight, std::int64_t out_width,
                           std::int64_t in_width, T* out, const LowRank<T>& more) {
  T* panels = panels_.reserve(round_up(out_width, panel_width) * in_width);
  make_transposed_panels(weight, out_width, in_width, panels);
  LowRank<T> panelled = more;
  if (more.depth > 0) {
    T* more_panels = more_panels_.reserve(round_up(out_width, panel_width) * more.depth);
    make_transposed_panels(more.weight, out_width, more.depth, more_panels);
    panelled.weight = more_panels;
  }
  multiply_panels(in, rows, in_width, panels, out_width, out, panelled);
}

template <class T>
void Products<T>::multiply_back(const T* gradient, std::int64_t rows, const T* weight, std::int64_t out_width,
                                std::int64_t in_width, T* out, const LowRank<T>& more) {
  T* panels = panels_.reserve(round_up(in_width, panel_width) * out_width);
  make_panels(weight, out_width, in_width, out_width, panels);
  LowRank<T> panelled = more;
  if (more.depth > 0) {
    T* more_panels = more_panels_.reserve(round_up(in_width, panel_width) * more.depth);
    make_panels(more.weight, more.depth, in_width, more.depth, more_panels);
    panelled.weight = more_panels;
  }
  multiply_panels(gradient, rows, out_width, panels, in_width, out, panelled);
}

// The columns of in [rows, width], in panels of padded_rows rows.
template <class T>
void Products<T>::make_panels(const T* in, std::int64_t rows, std::int64_t width, std::int64_t padded_rows, T* panels) {
  at::parallel_for(0, (width + panel_width - 1) / panel_width, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin * panel_width; first < std::min(end * panel_width, width); first += panel_width) {
      kernels<T>().make_panel(rows, std::min(panel_width, width - first), in + first, width,
                              panels + first * padded_rows, padded_rows);
    }
  });
}

// A product's left operand is transposed and its right one is not: the narrower is the left.
template <class T>
void Products<T>::add_weight_gradient(const T* gradient, std::int64_t rows, const T* in, std::int64_t out_width,
                                      std::int64_t in_width, float* sum) {
  if (sum == nullptr || rows == 0) return;
  const bool turned = out_width > in_width;
  add_product_of_columns(turned ? in : gradient, turned ? in_width : out_width, turned ? gradient : in,
                         turned ? out_width : in_width, rows, turned, sum);
}

// sum [left_width, right_width] += left [rows, left_width]^T * right [rows, right_width]; `turned`: to the transpose of
// sum. Rows are taken in chunks; the left operand of each is transposed and the right one panelled before the products.
template <class T>
void Products<T>::add_product_of_columns(const T* left, std::int64_t left_width, const T* right,
                                         std::int64_t right_width, std::int64_t rows, bool turned, float* sum) {
  const std::int64_t chunks = (rows + depth_chunk - 1) / depth_chunk;
  const std::int64_t padded_right = round_up(right_width, panel_width);
  T* transposed = left_.reserve(chunks * depth_chunk * left_width);
  T* panels = panels_.reserve(chunks * depth_chunk * padded_right);
  const auto depth_of = [&](std::int64_t chunk) {
    return round_up(std::min(depth_chunk, rows - chunk * depth_chunk), depth_tile);
  };
  at::parallel_for(0, chunks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t chunk = begin; chunk < end; ++chunk) {
      const std::int64_t first = chunk * depth_chunk, count = std::min(depth_chunk, rows - first);
      kernels<T>().transpose(count, left_width, left + first * left_width, transposed + first * left_width,
                             depth_of(chunk));
      for (std::int64_t column = 0; column < right_width; column += panel_width) {
        kernels<T>().make_panel(count, std::min(panel_width, right_width - column),
                                right + first * right_width + column, right_width,
                                panels + first * padded_right + column * depth_of(chunk), depth_of(chunk));
      }
    }
  });
  const BlockSize size = gradient_block(left_width, right_width);
  const std::int64_t across = (right_width - 1) / size.columns + 1, down = (left_width - 1) / size.rows + 1;
  blocks_.resize(std::max(blocks_.size(), static_cast<std::size_t>(at::get_num_threads())));
  at::parallel_for(0, down * across, 1, [&](std::int64_t begin, std::int64_t end) {
    float* block = blocks_[static_cast<std::size_t>(at::get_thread_num())].reserve(2 * size.rows * size.columns);
    float* turned_block = block + size.rows * size.columns;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / across * size.rows, column = i % across * size.columns;
      const std::int64_t height = std::min(size.rows, left_width - row);
      const std::int64_t width = std::min(size.columns, right_width - column);
      const std::int64_t stride = round_up(width, panel_width);
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        const std::int64_t first = chunk * depth_chunk, depth = depth_of(chunk);
        kernels<T>().product(height, stride, depth, transposed + first * left_width + row * depth, depth,
                             panels + first * padded_right + column * depth, block, stride, chunk > 0);
      }
      if (turned) {
        kernels<float>().transpose(height, stride, block, turned_block, height);
        for (std::int64_t r = 0; r < width; ++r)
          kernels<float>().add_to_float(turned_block + r * height, sum + (column + r) * left_width + row, height);
      } else {
        for (std::int64_t r = 0; r < height; ++r)
          kernels<float>().add_to_float(block + r * stride, sum + (row + r) * right_width + column, width);
      }
    }
  });
}

template class Products<float>;
template class Products<Bf16>;

}  // namespace fedmpi
