#include "encoder_layer.hpp"

#include "products.hpp"

#include <cstring>

namespace fedmpi {
namespace {

// Rows `numbers` of in [*, width], one after another.
template <class T>
void gather(std::span<const std::int64_t> numbers, const T* in, std::int64_t width, T* out) {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    std::memcpy(out + static_cast<std::int64_t>(i) * width, in + numbers[i] * width,
                static_cast<std::size_t>(width) * sizeof(T));
  }
}

}  // namespace

template <class T>
void EncoderLayer<T>::project(const Batch& batch, const LayerWeights<T>& weights, LayerMemory<T>& memory,
                              LayerScratch<T>& scratch) const {
  const std::int64_t w = config_.width, tokens = batch.num_tokens(), rows = num_rows(batch);
  T* qkv = memory.qkv.reserve(tokens * 3 * w);
  if (!first_tokens_only_) {
    scratch.products.multiply(memory.input.data(), tokens, weights.qkv, 3 * w, w, memory.qkv_low, qkv);
    return;
  }
  T* first_inputs = memory.first_inputs.reserve(rows * w);
  gather(batch.offsets.first(static_cast<std::size_t>(rows)), memory.input.data(), w, first_inputs);
  scratch.products.multiply(first_inputs, rows, weights.qkv, w, w, memory.first_low, qkv);
  scratch.products.multiply(memory.input.data(), tokens, weights.qkv.rows_from(w, w), 2 * w, w, memory.qkv_low,
                            qkv + rows * w);
}

// With the first tokens only, queries [rows, width] come before keys and values [tokens, 2 width].
template <class T>
AttentionInput<T> EncoderLayer<T>::attention_input(const Batch& batch, const float* values, const Dropout& dropout,
                                                   const T* qkv) const {
  const std::int64_t w = config_.width;
  const T* keys = first_tokens_only_ ? qkv + num_rows(batch) * w : qkv + w;
  const float* bias = places_.qkv_bias.in(values);
  return {qkv,
          keys,
          keys + w,
          first_tokens_only_ ? w : 3 * w,
          first_tokens_only_ ? 2 * w : 3 * w,
          bias,
          bias + w,
          bias + 2 * w,
          first_tokens_only_ ? batch.row_numbers : batch.offsets,
          batch.offsets,
          config_.num_heads,
          config_.head_width(),
          dropout};
}

template <class T>
void EncoderLayer<T>::norm(std::int64_t rows, const float* values, const T* branch, const Place& bias,
                           const Dropout& dropout, float* residual, const Place& weight, const Place& offset,
                           float* mean, float* inverse, float* out, T* out_product) const {
  const std::int64_t w = config_.width;
  for_each_block(rows, [&](std::int64_t, std::int64_t first, std::int64_t count) {
    kernels<T>().norm_forward({first,
                               count,
                               w,
                               branch + first * w,
                               bias.in(values),
                               dropout,
                               {},
                               residual + first * w,
                               weight.in(values),
                               offset.in(values),
                               static_cast<float>(config_.epsilon),
                               mean + first,
                               inverse + first,
                               out + first * w,
                               out_product + first * w});
  });
}

template <class T>
void EncoderLayer<T>::forward(const Batch& batch, const float* values, const LayerWeights<T>& weights,
                              const LayerDropout& dropout, LayerMemory<T>& memory, LayerScratch<T>& scratch, float* out,
                              T* out_product) {
  const std::int64_t w = config_.width, inner_width = config_.inner_width, rows = num_rows(batch);
  project(batch, weights, memory, scratch);
  T* context = memory.context.reserve(rows * w);
  scratch.attention.forward(attention_input(batch, values, dropout.attention, memory.qkv.data()), context,
                            memory.log_sums.reserve(rows * config_.num_heads));
  T* branch = scratch.branch.reserve(rows * w);
  scratch.products.multiply(context, rows, weights.projection, w, w, memory.projection_low, branch);
  float* mean = memory.mean.reserve(2 * rows);
  float* inverse = memory.inverse_deviation.reserve(2 * rows);
  float* output_sum = memory.output_sum.reserve(rows * w);
  T* middle = memory.middle.reserve(rows * w);
  norm(rows, values, branch, places_.projection_bias, dropout.projection, memory.stream.data(),
       places_.attention_norm_weight, places_.attention_norm_bias, mean, inverse, output_sum, middle);

  T* inner = memory.inner.reserve(rows * inner_width);
  scratch.products.multiply(middle, rows, weights.inner, inner_width, w, memory.inner_low, inner);
  T* activated = scratch.inner.reserve(rows * inner_width);
  for_each_block(rows, [&](std::int64_t, std::int64_t first, std::int64_t count) {
    kernels<T>().gelu_forward(count, inner_width, inner + first * inner_width, places_.inner_bias.in(values),
                              activated + first * inner_width);
  });
  scratch.products.multiply(activated, rows, weights.outer, w, inner_width, memory.outer_low, branch);
  norm(rows, values, branch, places_.outer_bias, dropout.output, output_sum, places_.output_norm_weight,
       places_.output_norm_bias, mean + rows, inverse + rows, out, out_product);
}

template <class T>
void EncoderLayer<T>::norm_back(std::int64_t rows, const float* values, const Dropout& dropout, const float* sum,
                                const float* mean, const float* inverse, const Place& weight, const Place& offset,
                                const Place& bias, SplitGradient<T> gradient, T* branch_gradient,
                                LayerScratch<T>& scratch, float* gradients) const {
  const std::int64_t w = config_.width, blocks = num_blocks(rows);
  float* partial = scratch.partial.reserve(blocks * 3 * w);
  for_each_block(rows, [&](std::int64_t block, std::int64_t first, std::int64_t count) {
    float* sums = partial + block * 3 * w;
    kernels<T>().norm_backward({first,
                                count,
                                w,
                                gradient.sum + first * w,
                                gradient.more == nullptr ? nullptr : gradient.more + first * w,
                                dropout,
                                {},
                                sum + first * w,
                                mean + first,
                                inverse + first,
                                weight.in(values),
                                branch_gradient + first * w,
                                sums,
                                sums + w,
                                sums + 2 * w});
  });
  add_partial_sums(partial, blocks, 3 * w, w, weight.gradient(gradients));
  add_partial_sums(partial + w, blocks, 3 * w, w, offset.gradient(gradients));
  add_partial_sums(partial + 2 * w, blocks, 3 * w, w, bias.gradient(gradients));
}

// From the gradient of the feed-forward branch to that of its input, in place.
template <class T>
void EncoderLayer<T>::feed_forward_back(std::int64_t rows, const float* values, const LayerWeights<T>& weights,
                                        LayerMemory<T>& memory, LayerScratch<T>& scratch, T* branch_gradient,
                                        float* gradients) const {
  const std::int64_t w = config_.width, inner_width = config_.inner_width, blocks = num_blocks(rows);
  T* gradient = scratch.inner_gradient.reserve(rows * inner_width);
  T* activated = scratch.inner.reserve(rows * inner_width);
  float* partial = scratch.partial.reserve(blocks * inner_width);
  scratch.products.begin_back(branch_gradient, rows, weights.outer, w);
  scratch.products.multiply_back(branch_gradient, rows, weights.outer, w, inner_width, gradient);
  for_each_block(rows, [&](std::int64_t block, std::int64_t first, std::int64_t count) {
    const std::int64_t at = first * inner_width;
    kernels<T>().gelu_backward(count, inner_width, memory.inner.data() + at, places_.inner_bias.in(values),
                               gradient + at, activated + at, partial + block * inner_width);
  });
  add_partial_sums(partial, blocks, inner_width, inner_width, places_.inner_bias.gradient(gradients));
  scratch.products.add_weight_gradients(branch_gradient, rows, activated, weights.outer, places_.outer,
                                        memory.outer_low, w, inner_width, gradients);
  scratch.products.begin_back(gradient, rows, weights.inner, inner_width);
  scratch.products.add_weight_gradients(gradient, rows, memory.middle.data(), weights.inner, places_.inner,
                                        memory.inner_low, inner_width, w, gradients);
  scratch.products.multiply_back(gradient, rows, weights.inner, inner_width, w, branch_gradient);
}

template <class T>
void EncoderLayer<T>::add_column_sums(const T* in, std::int64_t rows, std::int64_t width, LayerScratch<T>& scratch,
                                      float* sums) const {
  if (sums == nullptr) return;
  float* partial = scratch.partial.reserve(num_blocks(rows) * width);
  for_each_block(rows, [&](std::int64_t block, std::int64_t first, std::int64_t count) {
    kernels<T>().column_sums(count, width, in + first * width, width, partial + block * width);
  });
  add_partial_sums(partial, num_blocks(rows), width, width, sums);
}

// From the gradients of queries, keys and values to that of the layer's input; with the first tokens only, a part of it
// is added to `stream_gradient`.
template <class T>
void EncoderLayer<T>::project_back(const Batch& batch, const LayerWeights<T>& weights, LayerMemory<T>& memory,
                                   LayerScratch<T>& scratch, float* stream_gradient, T* input_gradient,
                                   float* gradients) const {
  const std::int64_t w = config_.width, tokens = batch.num_tokens(), rows = num_rows(batch);
  const T* qkv = scratch.qkv_gradient.data();
  float* bias_sums = places_.qkv_bias.gradient(gradients);
  if (!first_tokens_only_) {
    add_column_sums(qkv, tokens, 3 * w, scratch, bias_sums);
    scratch.products.begin_back(qkv, tokens, weights.qkv, 3 * w);
    scratch.products.add_weight_gradients(qkv, tokens, memory.input.data(), weights.qkv, places_.qkv, memory.qkv_low,
                                          3 * w, w, gradients);
    if (input_gradient == nullptr) return;
    scratch.products.multiply_back(qkv, tokens, weights.qkv, 3 * w, w, input_gradient);
    return;
  }
  if (bias_sums != nullptr) {
    add_column_sums(qkv, rows, w, scratch, bias_sums);
    add_column_sums(qkv + rows * w, tokens, 2 * w, scratch, bias_sums + w);
  }
  const MatrixWeights<T> keys = weights.qkv.rows_from(w, w);
  scratch.products.begin_back(qkv + rows * w, tokens, keys, 2 * w);
  scratch.products.add_weight_gradients(qkv + rows * w, tokens, memory.input.data(), keys, places_.qkv, memory.qkv_low,
                                        2 * w, w, gradients);
  if (input_gradient != nullptr) scratch.products.multiply_back(qkv + rows * w, tokens, keys, 2 * w, w, input_gradient);
  scratch.products.begin_back(qkv, rows, weights.qkv, w);
  scratch.products.add_weight_gradients(qkv, rows, memory.first_inputs.data(), weights.qkv, places_.qkv,
                                        memory.first_low, w, w, gradients);
  if (input_gradient == nullptr) return;
  // A sequence's first token also has the gradients that came by its query and by the residual stream.
  T* by_query = scratch.few_gradient.reserve(rows * w);
  scratch.products.multiply_back(qkv, rows, weights.qkv, w, w, by_query);
  kernels<T>().add_to_float(by_query, stream_gradient, rows * w);
}

template <class T>
void EncoderLayer<T>::backward(const Batch& batch, const float* values, const LayerWeights<T>& weights,
                               const LayerDropout& dropout, LayerMemory<T>& memory, LayerScratch<T>& scratch,
                               SplitGradient<T> gradient, T* input_gradient, float* gradients) {
  const std::int64_t w = config_.width, rows = num_rows(batch), tokens = batch.num_tokens();
  const float* mean = memory.mean.data();
  const float* inverse = memory.inverse_deviation.data();
  T* branch = scratch.branch.reserve(rows * w);
  norm_back(rows, values, dropout.output, memory.output_sum.data(), mean + rows, inverse + rows,
            places_.output_norm_weight, places_.output_norm_bias, places_.outer_bias, gradient, branch, scratch,
            gradients);
  feed_forward_back(rows, values, weights, memory, scratch, branch, gradients);
  T* projection = scratch.context_gradient.reserve(2 * rows * w);
  T* context_gradient = projection + rows * w;
  norm_back(rows, values, dropout.projection, memory.stream.data(), mean, inverse, places_.attention_norm_weight,
            places_.attention_norm_bias, places_.projection_bias, {gradient.sum, branch}, projection, scratch,
            gradients);
  scratch.products.begin_back(projection, rows, weights.projection, w);
  scratch.products.add_weight_gradients(projection, rows, memory.context.data(), weights.projection, places_.projection,
                                        memory.projection_low, w, w, gradients);
  scratch.products.multiply_back(projection, rows, weights.projection, w, w, context_gradient);
  T* qkv = scratch.qkv_gradient.reserve(tokens * 3 * w);
  const AttentionInput<T> in = attention_input(batch, values, dropout.attention, memory.qkv.data());
  T* keys = qkv + (in.keys - in.queries);
  scratch.attention.backward(in, memory.context.data(), memory.log_sums.data(), context_gradient, qkv, keys, keys + w);
  project_back(batch, weights, memory, scratch, gradient.sum, input_gradient, gradients);
}

template class EncoderLayer<float>;
template class EncoderLayer<Bf16>;

}  // namespace fedmpi
