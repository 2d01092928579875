#pragma once

#include "vector_kernels.hpp"
#include "workspace.hpp"

#include <span>
#include <vector>

namespace fedmpi {

// Queries, keys and values of packed sequences, before their biases are added. Sequence s has the query rows
// [query_offsets[s], query_offsets[s + 1]) and the key rows [key_offsets[s], key_offsets[s + 1]).
template <class T>
struct AttentionInput {
  const T *queries, *keys, *values;
  std::int64_t query_stride, key_stride;  // values have the keys'
  const float *query_bias, *key_bias, *value_bias;
  std::span<const std::int64_t> query_offsets, key_offsets;
  std::int64_t num_heads, head_width;
  Dropout dropout;

  std::int64_t num_sequences() const { return std::ssize(query_offsets) - 1; }
  std::int64_t width() const { return num_heads * head_width; }
};

// Softmax attention, one sequence and head at a time. Probabilities are never kept: the backward computes them again.
template <class T>
class Attention {
 public:
  // context [query rows, width]; log_sums [query rows, heads] is for the backward.
  void forward(const AttentionInput<T>& in, T* context, float* log_sums);

  // From the gradient of `context`, the gradients of queries, keys and values, with the strides of these.
  void backward(const AttentionInput<T>& in, const T* context, const float* log_sums, const T* context_gradient,
                T* query_gradient, T* key_gradient, T* value_gradient);

 private:
  struct Scratch {  // of one thread
    Buffer<T> rows, keys, values, keys_transposed, values_transposed;
    Buffer<T> left, left_transposed, probabilities, panels, gradient_left, gradient_transposed, gradient_panels;
    Buffer<float> scores, gradient, out, key_sums, value_sums, products;
  };
  struct Part;
  void forward_part(const AttentionInput<T>& in, const Part& part, Scratch& scratch, T* context, float* log_sums);
  void backward_part(const AttentionInput<T>& in, const Part& part, Scratch& scratch, const T* context,
                     const float* log_sums, const T* context_gradient, T* query_gradient, T* key_gradient,
                     T* value_gradient);
  template <class Work>
  void for_each_part(const AttentionInput<T>& in, const Work& work);

  std::vector<Scratch> scratch_;
};

}  // namespace fedmpi
