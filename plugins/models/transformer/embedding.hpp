#pragma once

#include "config.hpp"
#include "parameters.hpp"
#include "vector_kernels.hpp"
#include "workspace.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace fedmpi {

// Token ids of packed sequences: sequence s is [offsets[s], offsets[s + 1]).
struct PackedTokens {
  std::span<const std::int32_t> tokens;
  std::span<const std::int64_t> offsets;
  std::int64_t num_tokens() const { return std::ssize(tokens); }
  std::int64_t num_sequences() const { return std::ssize(offsets) - 1; }
};

// Word + position + token type (always the first), layer norm, dropout.
template <class T>
class Embedding {
 public:
  Embedding(const TransformerConfig& config, const NetworkPlaces& places) : config_{config}, places_{places} {}

  // out and out_product [tokens, width]. The backward needs what this kept.
  void forward(const PackedTokens& batch, const float* values, const Dropout& dropout, float* out, T* out_product);

  // `gradient` [tokens, width] of out, plus `more_gradient`, is used up; gradients are added to `gradients`.
  void backward(const PackedTokens& batch, const float* values, const Dropout& dropout, float* gradient,
                const T* more_gradient, float* gradients);

 private:
  // Each adds to `sums`, of the whole table.
  void add_word_gradients(const PackedTokens& batch, const float* gradient, float* sums);
  void add_position_gradients(const PackedTokens& batch, const float* gradient, float* sums) const;
  void add_token_type_gradient(const PackedTokens& batch, const float* gradient, float* sums);

  const TransformerConfig& config_;
  const NetworkPlaces& places_;
  Buffer<float> sums_, mean_, inverse_deviation_, partial_;
  std::vector<std::uint64_t> order_;  // (token id, row)
  std::vector<std::int64_t> starts_;  // of each token id in order_
};

}  // namespace fedmpi
