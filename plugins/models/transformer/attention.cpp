#include "attention.hpp"

#include <algorithm>
#include <cmath>

namespace fedmpi {
namespace {

// Matrix units work in tiles of 16 rows and 32 columns.
constexpr std::int64_t row_tile = 16;
constexpr std::int64_t key_tile = 32;
constexpr std::int64_t query_block = panel_width;

// in [rows, width] as a right operand.
template <class T>
void panel(std::int64_t rows, std::int64_t width, const T* in, T* out) {
  for (std::int64_t i = 0; i < width; i += panel_width)
    kernels<T>().make_panel(rows, std::min(panel_width, width - i), in + i, width, out + i * rows, rows);
}

}  // namespace

// One sequence and head.
template <class T>
struct Attention<T>::Part {
  std::int64_t head, first_query, num_queries, first_key, num_keys, padded_keys;
};

// Each thread gets all sequences, long and short, of its group of heads, and works on a sequence while it is in the
// cache.
template <class T>
template <class Work>
void Attention<T>::for_each_part(const AttentionInput<T>& in, const Work& work) {
  const std::int64_t threads = at::get_num_threads(), sequences = in.num_sequences();
  const std::int64_t group = in.num_heads % threads == 0 ? in.num_heads / threads : 1;
  scratch_.resize(std::max(scratch_.size(), static_cast<std::size_t>(threads)));
  at::parallel_for(0, in.num_heads * sequences, 1, [&](std::int64_t begin, std::int64_t end) {
    Scratch& scratch = scratch_[static_cast<std::size_t>(at::get_thread_num())];
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t head = i / (group * sequences) * group + i % group;
      const auto s = static_cast<std::size_t>(i / group % sequences);
      const std::int64_t num_keys = in.key_offsets[s + 1] - in.key_offsets[s];
      work(Part{head, in.query_offsets[s], in.query_offsets[s + 1] - in.query_offsets[s], in.key_offsets[s], num_keys,
                round_up(num_keys, key_tile)},
           scratch);
    }
  });
}

template <class T>
void Attention<T>::forward(const AttentionInput<T>& in, T* context, float* log_sums) {
  for_each_part(in, [&](const Part& part, Scratch& scratch) { forward_part(in, part, scratch, context, log_sums); });
}

template <class T>
void Attention<T>::backward(const AttentionInput<T>& in, const T* context, const float* log_sums,
                            const T* context_gradient, T* query_gradient, T* key_gradient, T* value_gradient) {
  for_each_part(in, [&](const Part& part, Scratch& scratch) {
    backward_part(in, part, scratch, context, log_sums, context_gradient, query_gradient, key_gradient, value_gradient);
  });
}

template <class T>
void Attention<T>::forward_part(const AttentionInput<T>& in, const Part& part, Scratch& scratch, T* context,
                                float* log_sums) {
  const Kernels<T>& k = kernels<T>();
  const std::int64_t d = in.head_width, column = part.head * d, padded = part.padded_keys;
  const float scale = 1.0F / std::sqrt(static_cast<float>(d));
  T* rows_of_keys = scratch.rows.reserve(padded * d);
  T* keys = scratch.keys_transposed.reserve(round_up(padded, panel_width) * d);
  T* values = scratch.values.reserve(padded * round_up(d, panel_width));
  k.pack_left(part.num_keys, d, in.keys + part.first_key * in.key_stride + column, in.key_stride, in.key_bias + column,
              1.0F, rows_of_keys, padded);
  k.transpose_panelled(padded, d, rows_of_keys, keys);
  k.pack_left(part.num_keys, d, in.values + part.first_key * in.key_stride + column, in.key_stride,
              in.value_bias + column, 1.0F, rows_of_keys, padded);
  panel(padded, d, rows_of_keys, values);
  T* left = scratch.left.reserve(query_block * d);
  float* scores = scratch.scores.reserve(query_block * padded);
  T* probabilities = scratch.probabilities.reserve(query_block * padded);
  float* out = scratch.out.reserve(query_block * d);
  for (std::int64_t first = 0; first < part.num_queries; first += query_block) {
    const std::int64_t rows = std::min(query_block, part.num_queries - first), row = part.first_query + first;
    const std::int64_t padded_rows = round_up(rows, row_tile);
    k.pack_left(rows, d, in.queries + row * in.query_stride + column, in.query_stride, in.query_bias + column, scale,
                left, padded_rows);
    k.product(padded_rows, padded, d, left, d, keys, scores, padded, false);
    k.softmax_forward({row, rows, part.num_keys, padded, static_cast<std::uint32_t>(part.head), in.dropout, scores,
                       log_sums + row * in.num_heads + part.head, in.num_heads},
                      probabilities);
    k.product(padded_rows, d, padded, probabilities, padded, values, out, d, false);
    k.store(rows, d, out, d, 1.0F, context + row * in.width() + column, in.width());
  }
}

template <class T>
void Attention<T>::backward_part(const AttentionInput<T>& in, const Part& part, Scratch& scratch, const T* context,
                                 const float* log_sums, const T* context_gradient, T* query_gradient, T* key_gradient,
                                 T* value_gradient) {
  const Kernels<T>& k = kernels<T>();
  const std::int64_t d = in.head_width, column = part.head * d, padded = part.padded_keys;
  const std::int64_t panelled = round_up(padded, panel_width);
  const float scale = 1.0F / std::sqrt(static_cast<float>(d));
  const std::int64_t key_at = part.first_key * in.key_stride + column;
  T* keys = scratch.keys.reserve(padded * round_up(d, panel_width));
  T* keys_transposed = scratch.keys_transposed.reserve(panelled * d);
  T* values_transposed = scratch.values_transposed.reserve(panelled * d);
  T* rows_of_keys = scratch.rows.reserve(padded * d);
  k.pack_left(part.num_keys, d, in.keys + key_at, in.key_stride, in.key_bias + column, 1.0F, rows_of_keys, padded);
  panel(padded, d, rows_of_keys, keys);
  k.transpose_panelled(padded, d, rows_of_keys, keys_transposed);
  k.pack_left(part.num_keys, d, in.values + key_at, in.key_stride, in.value_bias + column, 1.0F, rows_of_keys, padded);
  k.transpose_panelled(padded, d, rows_of_keys, values_transposed);
  T* left = scratch.left.reserve(query_block * d);
  T* left_transposed = scratch.left_transposed.reserve(query_block * d);
  T* gradient_left = scratch.gradient_left.reserve(query_block * d);
  T* gradient_transposed = scratch.gradient_transposed.reserve(query_block * d);
  T* scores_gradient = scratch.probabilities.reserve(query_block * padded);
  T* panels = scratch.panels.reserve(query_block * panelled);
  T* gradient_panels = scratch.gradient_panels.reserve(query_block * panelled);
  float* scores = scratch.scores.reserve(query_block * padded);
  float* gradient = scratch.gradient.reserve(query_block * padded);
  float* out = scratch.out.reserve(query_block * d);
  float* key_sums = scratch.key_sums.reserve(padded * d);
  float* value_sums = scratch.value_sums.reserve(padded * d);
  float* products = scratch.products.reserve(query_block);

  for (std::int64_t first = 0; first < part.num_queries; first += query_block) {
    const std::int64_t rows = std::min(query_block, part.num_queries - first), row = part.first_query + first;
    const std::int64_t padded_rows = round_up(rows, row_tile), at = row * in.width() + column;
    const T* query_rows = in.queries + row * in.query_stride + column;
    k.pack_left(rows, d, query_rows, in.query_stride, in.query_bias + column, scale, left, padded_rows);
    k.transpose(padded_rows, d, left, left_transposed, padded_rows);
    k.pack_left(rows, d, context_gradient + at, in.width(), nullptr, 1.0F, gradient_left, padded_rows);
    k.transpose(padded_rows, d, gradient_left, gradient_transposed, padded_rows);
    k.row_products(rows, d, context + at, in.width(), context_gradient + at, in.width(), products);
    k.product(padded_rows, padded, d, left, d, keys_transposed, scores, padded, false);
    k.product(padded_rows, padded, d, gradient_left, d, values_transposed, gradient, padded, false);
    k.softmax_backward({row, rows, part.num_keys, padded, static_cast<std::uint32_t>(part.head), in.dropout, scores,
                        const_cast<float*>(log_sums) + row * in.num_heads + part.head, in.num_heads},
                       gradient, products, panels, scores_gradient, gradient_panels, padded_rows);
    k.product(d, padded, padded_rows, gradient_transposed, padded_rows, panels, value_sums, padded, first > 0);
    k.product(d, padded, padded_rows, left_transposed, padded_rows, gradient_panels, key_sums, padded, first > 0);
    k.product(padded_rows, d, padded, scores_gradient, padded, keys, out, d, false);
    k.store(rows, d, out, d, scale, query_gradient + row * in.query_stride + column, in.query_stride);
  }
  k.store_transposed(part.num_keys, d, key_sums, padded, key_gradient + key_at, in.key_stride);
  k.store_transposed(part.num_keys, d, value_sums, padded, value_gradient + key_at, in.key_stride);
}

template class Attention<float>;
template class Attention<Bf16>;

}  // namespace fedmpi
