#include "head.hpp"

#include "products.hpp"

#include <algorithm>
#include <cmath>

namespace fedmpi {
namespace {

// in + bias for each of `rows` rows, in place.
void add_bias(float* in, std::int64_t rows, std::int64_t width, const float* bias) {
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = 0; i < width; ++i) in[row * width + i] += bias[i];
}

void add_row_sums(const float* in, std::int64_t rows, std::int64_t width, float* sums) {
  if (sums == nullptr) return;
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = 0; i < width; ++i) sums[i] += in[row * width + i];
}

}  // namespace

void ClassificationHead::activate(std::int64_t rows, const float* values, const float* pooled) {
  const std::int64_t w = config_.width;
  float* out = activated_.reserve(rows * w);
  if (!has_dense()) {
    std::copy_n(pooled, rows * w, out);
    return;
  }
  products_.multiply(pooled, rows, places_.pooler_weight.in(values), w, w, out);
  add_bias(out, rows, w, places_.pooler_bias.in(values));
  const bool is_tanh = config_.family == TransformerConfig::Family::bert;
  for (std::int64_t i = 0; i < rows * w; ++i) out[i] = is_tanh ? std::tanh(out[i]) : std::max(out[i], 0.0F);
}

BatchResult ClassificationHead::forward(std::span<const std::int64_t> labels, std::int64_t batch_size,
                                        const float* values, const Dropout& dropout, const float* pooled) {
  const std::int64_t rows = std::ssize(labels), w = config_.width;
  activate(rows, values, pooled);
  float* dropped = dropped_.reserve(rows * w);
  float* mask = mask_.reserve(rows * w);
  kernels<float>().dropout_mask(dropout, rows, w, mask);
  for (std::int64_t i = 0; i < rows * w; ++i) dropped[i] = activated_.data()[i] * mask[i];
  float* logits = logits_.reserve(rows * num_labels_);
  products_.multiply(dropped, rows, places_.classifier_weight.in(values), num_labels_, w, logits);
  add_bias(logits, rows, num_labels_, places_.classifier_bias.in(values));

  float* gradient = logits_gradient_.reserve(rows * num_labels_);
  BatchResult result;
  result.num_examples = rows;
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* scores = logits + row * num_labels_;
    const std::int64_t label = labels[static_cast<std::size_t>(row)];
    const float* best = std::max_element(scores, scores + num_labels_);
    double total = 0.0;
    for (std::int64_t i = 0; i < num_labels_; ++i) total += std::exp(static_cast<double>(scores[i]) - *best);
    result.loss_sum += *best + std::log(total) - scores[label];
    for (std::int64_t i = 0; i < num_labels_; ++i) {
      const double probability = std::exp(static_cast<double>(scores[i]) - *best) / total;
      gradient[row * num_labels_ + i] =
          static_cast<float>((probability - (i == label ? 1.0 : 0.0)) / static_cast<double>(batch_size));
    }
  }
  return result;
}

void ClassificationHead::backward(std::span<const std::int64_t> labels, const float* values, const float* pooled,
                                  float* pooled_gradient, float* gradients) {
  const std::int64_t rows = std::ssize(labels), w = config_.width;
  const float* logits_gradient = logits_gradient_.data();
  products_.add_weight_gradient(logits_gradient, rows, dropped_.data(), num_labels_, w,
                                places_.classifier_weight.gradient(gradients));
  add_row_sums(logits_gradient, rows, num_labels_, places_.classifier_bias.gradient(gradients));
  float* gradient = has_dense() ? gradient_.reserve(rows * w) : pooled_gradient;
  products_.multiply_back(logits_gradient, rows, places_.classifier_weight.in(values), num_labels_, w, gradient);
  for (std::int64_t i = 0; i < rows * w; ++i) gradient[i] *= mask_.data()[i];
  if (!has_dense()) return;
  const bool is_tanh = config_.family == TransformerConfig::Family::bert;
  for (std::int64_t i = 0; i < rows * w; ++i) {
    const float out = activated_.data()[i];
    gradient[i] *= is_tanh ? 1.0F - out * out : (out > 0.0F ? 1.0F : 0.0F);
  }
  products_.add_weight_gradient(gradient, rows, pooled, w, w, places_.pooler_weight.gradient(gradients));
  add_row_sums(gradient, rows, w, places_.pooler_bias.gradient(gradients));
  products_.multiply_back(gradient, rows, places_.pooler_weight.in(values), w, w, pooled_gradient);
}

}  // namespace fedmpi
