#pragma once

#include "adapters.hpp"
#include "attention.hpp"
#include "config.hpp"
#include "parameters.hpp"
#include "products.hpp"
#include "vector_kernels.hpp"
#include "workspace.hpp"

#include <cstdint>
#include <span>

namespace fedmpi {

// What the layers share: nothing in it outlives one layer's forward or backward.
template <class T>
struct LayerScratch {
  Attention<T> attention;
  AdaptedProducts<T> products;
  Buffer<T> branch, inner, inner_gradient, qkv_gradient, context_gradient;
  Buffer<T> few_gradient;
  Buffer<float> partial;
};

struct LayerDropout {
  Dropout attention, projection, output;
};

template <class T>
struct LayerWeights {
  MatrixWeights<T> qkv, projection, inner, outer;
};

// The state of one layer between its forward and its backward.
template <class T>
struct LayerMemory {
  Buffer<T> input;       // [tokens, width], for products; written by the layer below
  Buffer<float> stream;  // [rows, width], the same in float32; becomes attention's sum
  Buffer<T> qkv, context, middle, inner;
  Buffer<float> output_sum, log_sums, mean, inverse_deviation;         // two of the latter a row
  Buffer<T> first_inputs;                                              // [sequences, width]
  Buffer<T> qkv_low, first_low, projection_low, inner_low, outer_low;  // of adapters
};

// A float32 gradient and a part of it that came out of a product.
template <class T>
struct SplitGradient {
  float* sum;
  T* more;
};

// One block: attention, projection, dropout, residual, norm; feed-forward, dropout, residual, norm. With
// `first_tokens_only` it computes the output of each sequence's first token alone; its rows then are the sequences.
template <class T>
class EncoderLayer {
 public:
  EncoderLayer(const TransformerConfig& config, const LayerPlaces& places, bool first_tokens_only)
      : config_{config}, places_{places}, first_tokens_only_{first_tokens_only} {}

  struct Batch {
    std::span<const std::int64_t> offsets;      // of the sequences' tokens
    std::span<const std::int64_t> row_numbers;  // 0, 1, ..., number of sequences
    std::int64_t num_tokens() const { return offsets.back(); }
    std::int64_t num_sequences() const { return std::ssize(offsets) - 1; }
  };
  std::int64_t num_rows(const Batch& batch) const {
    return first_tokens_only_ ? batch.num_sequences() : batch.num_tokens();
  }

  // `values` float32, `weights` those of its matrices. memory.input is [tokens, width] and
  // memory.stream [rows, width] already. out and out_product [rows, width].
  void forward(const Batch& batch, const float* values, const LayerWeights<T>& weights, const LayerDropout& dropout,
               LayerMemory<T>& memory, LayerScratch<T>& scratch, float* out, T* out_product);

  // Takes the gradient of out (`more` may be nullptr) and gives that of the input: `sum` [rows, width] in place and
  // `input_gradient` [tokens, width]; the latter may be nullptr: then nothing is computed for the input.
  void backward(const Batch& batch, const float* values, const LayerWeights<T>& weights, const LayerDropout& dropout,
                LayerMemory<T>& memory, LayerScratch<T>& scratch, SplitGradient<T> gradient, T* input_gradient,
                float* gradients);

 private:
  AttentionInput<T> attention_input(const Batch& batch, const float* values, const Dropout& dropout,
                                    const T* qkv) const;
  void project(const Batch& batch, const LayerWeights<T>& weights, LayerMemory<T>& memory,
               LayerScratch<T>& scratch) const;
  void norm(std::int64_t rows, const float* values, const T* branch, const Place& bias, const Dropout& dropout,
            float* residual, const Place& weight, const Place& offset, float* mean, float* inverse, float* out,
            T* out_product) const;
  void norm_back(std::int64_t rows, const float* values, const Dropout& dropout, const float* sum, const float* mean,
                 const float* inverse, const Place& weight, const Place& offset, const Place& bias,
                 SplitGradient<T> gradient, T* branch_gradient, LayerScratch<T>& scratch, float* gradients) const;
  void feed_forward_back(std::int64_t rows, const float* values, const LayerWeights<T>& weights, LayerMemory<T>& memory,
                         LayerScratch<T>& scratch, T* branch_gradient, float* gradients) const;
  void project_back(const Batch& batch, const LayerWeights<T>& weights, LayerMemory<T>& memory,
                    LayerScratch<T>& scratch, float* stream_gradient, T* input_gradient, float* gradients) const;
  void add_column_sums(const T* in, std::int64_t rows, std::int64_t width, LayerScratch<T>& scratch, float* sums) const;

  const TransformerConfig& config_;
  LayerPlaces places_;
  bool first_tokens_only_;
};

}  // namespace fedmpi
