#include "embedding.hpp"

#include <algorithm>

namespace fedmpi {
namespace {

void add_row(const float* from, std::int64_t width, float* to) {
  for (std::int64_t i = 0; i < width; ++i) to[i] += from[i];
}

}  // namespace

template <class T>
void Embedding<T>::forward(const PackedTokens& batch, const float* values, const Dropout& dropout, float* out,
                           T* out_product) {
  const std::int64_t rows = batch.num_tokens(), width = config_.width;
  float* sums = sums_.reserve(rows * width);
  float* mean = mean_.reserve(rows);
  float* inverse = inverse_deviation_.reserve(rows);
  at::parallel_for(0, batch.num_sequences(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t sequence = begin; sequence < end; ++sequence) {
      const std::int64_t first = batch.offsets[static_cast<std::size_t>(sequence)];
      const std::int64_t last = batch.offsets[static_cast<std::size_t>(sequence) + 1];
      for (std::int64_t row = first; row < last; ++row) {
        const float* word = places_.words.in(values) + batch.tokens[static_cast<std::size_t>(row)] * width;
        const float* position = places_.positions.in(values) + (row - first) * width;
        const float* type = places_.token_types.exists() ? places_.token_types.in(values) : nullptr;
        for (std::int64_t i = 0; i < width; ++i) {
          sums[row * width + i] = word[i] + (type == nullptr ? 0.0F : type[i]) + position[i];
        }
      }
    }
  });
  for_each_block(rows, [&](std::int64_t, std::int64_t first, std::int64_t count) {
    kernels<T>().norm_forward({first,
                               count,
                               width,
                               nullptr,
                               nullptr,
                               {},
                               dropout,
                               sums + first * width,
                               places_.norm_weight.in(values),
                               places_.norm_bias.in(values),
                               static_cast<float>(config_.epsilon),
                               mean + first,
                               inverse + first,
                               out + first * width,
                               out_product + first * width});
  });
}

template <class T>
void Embedding<T>::backward(const PackedTokens& batch, const float* values, const Dropout& dropout, float* gradient,
                            const T* more_gradient, float* gradients) {
  const std::int64_t rows = batch.num_tokens(), width = config_.width;
  float* partial = partial_.reserve(num_blocks(rows) * 2 * width);
  for_each_block(rows, [&](std::int64_t block, std::int64_t first, std::int64_t count) {
    float* sums = partial + block * 2 * width;
    kernels<T>().norm_backward({first,
                                count,
                                width,
                                gradient + first * width,
                                more_gradient + first * width,
                                {},
                                dropout,
                                sums_.data() + first * width,
                                mean_.data() + first,
                                inverse_deviation_.data() + first,
                                places_.norm_weight.in(values),
                                nullptr,
                                sums,
                                sums + width,
                                nullptr});
  });
  add_partial_sums(partial, num_blocks(rows), 2 * width, width, places_.norm_weight.gradient(gradients));
  add_partial_sums(partial + width, num_blocks(rows), 2 * width, width, places_.norm_bias.gradient(gradients));
  if (float* sums = places_.words.gradient(gradients)) add_word_gradients(batch, gradient, sums);
  if (float* sums = places_.positions.gradient(gradients)) add_position_gradients(batch, gradient, sums);
  if (float* sums = places_.token_types.gradient(gradients)) add_token_type_gradient(batch, gradient, sums);
}

// Each word's rows are added by one thread in the order of the rows.
template <class T>
void Embedding<T>::add_word_gradients(const PackedTokens& batch, const float* gradient, float* sums) {
  const std::int64_t width = config_.width;
  order_.clear();
  for (std::size_t row = 0; row < batch.tokens.size(); ++row) {
    order_.push_back(static_cast<std::uint64_t>(batch.tokens[row]) << 32U | row);
  }
  std::ranges::sort(order_);
  starts_.clear();
  for (std::size_t i = 0; i < order_.size(); ++i) {
    if (i == 0 || order_[i] >> 32U != order_[i - 1] >> 32U) starts_.push_back(static_cast<std::int64_t>(i));
  }
  starts_.push_back(std::ssize(order_));
  at::parallel_for(0, std::ssize(starts_) - 1, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t word = begin; word < end; ++word) {
      for (std::int64_t i = starts_[static_cast<std::size_t>(word)]; i < starts_[static_cast<std::size_t>(word) + 1];
           ++i) {
        const std::uint64_t entry = order_[static_cast<std::size_t>(i)];
        const auto id = static_cast<std::int64_t>(entry >> 32U), row = static_cast<std::int64_t>(entry & 0xffffffffU);
        add_row(gradient + row * width, width, sums + id * width);
      }
    }
  });
}

template <class T>
void Embedding<T>::add_position_gradients(const PackedTokens& batch, const float* gradient, float* sums) const {
  const std::int64_t width = config_.width;
  std::int64_t longest = 0;
  for (std::size_t s = 0; s + 1 < batch.offsets.size(); ++s) {
    longest = std::max(longest, batch.offsets[s + 1] - batch.offsets[s]);
  }
  at::parallel_for(0, longest, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t position = begin; position < end; ++position) {
      for (std::size_t s = 0; s + 1 < batch.offsets.size(); ++s) {
        const std::int64_t row = batch.offsets[s] + position;
        if (row >= batch.offsets[s + 1]) continue;
        add_row(gradient + row * width, width, sums + position * width);
      }
    }
  });
}

template <class T>
void Embedding<T>::add_token_type_gradient(const PackedTokens& batch, const float* gradient, float* sums) {
  const std::int64_t rows = batch.num_tokens(), width = config_.width;
  float* partial = partial_.reserve(num_blocks(rows) * width);
  for_each_block(rows, [&](std::int64_t block, std::int64_t first, std::int64_t count) {
    kernels<float>().column_sums(count, width, gradient + first * width, width, partial + block * width);
  });
  add_partial_sums(partial, num_blocks(rows), width, width, sums);
}

template class Embedding<float>;
template class Embedding<Bf16>;

}  // namespace fedmpi
