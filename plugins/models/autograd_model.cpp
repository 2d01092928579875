#include "autograd_model.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/one_thread.hpp"
#include "linear_layer.hpp"
#include "outputs.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <span>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {
namespace {

std::int64_t product(at::IntArrayRef shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

}  // namespace

AutogradModel::AutogradModel(const char* name, const char* shape_option, std::vector<std::int64_t> input_shape,
                             std::int64_t num_labels, Layout layout)
    : name_{name},
      shape_option_{shape_option},
      input_shape_{std::move(input_shape)},
      num_labels_{num_labels},
      layout_{std::move(layout)} {}

void AutogradModel::check(const Batch& batch) const {
  features_of(batch);
  check_labels(batch, num_labels_, name_);
}

at::Tensor AutogradModel::features_of(const Batch& batch) const {
  if (!batch.features.defined())
    throw UserError(fmt::format("the model '{}' needs a dataset with features: choose one in [data]", name_));
  const at::IntArrayRef own_shape = batch.features.sizes().slice(1);
  // Images whose channels come last have as many numbers.
  const bool any_shape = own_shape.size() == 1 || input_shape_.size() == 1;
  if (any_shape ? product(own_shape) != product(input_shape_) : own_shape != at::IntArrayRef(input_shape_))
    throw UserError(
        fmt::format("the model '{}' is made for examples of shape [{}], but the dataset has [{}]: set "
                    "model.{} to fit it",
                    name_, fmt::join(input_shape_, ", "), fmt::join(own_shape, ", "), shape_option_));
  std::vector<std::int64_t> shape{batch.features.size(0)};
  shape.insert(shape.end(), input_shape_.begin(), input_shape_.end());
  return batch.features.reshape(shape).to(device_);
}

void AutogradModel::bind(at::Tensor values, at::Tensor gradients, Precision precision) {
  device_ = values.device();
  precision_ = precision;
  parameters_.clear();
  for (std::size_t i = 0; i < layout_.num_tensors(); ++i) {
    at::Tensor parameter = layout_.view(values, i).variable_data();
    if (layout_.has_gradient(i)) {
      parameter.requires_grad_();
      parameter.mutable_grad() = layout_.gradient_view(gradients, i);
    }
    parameters_.push_back(std::move(parameter));
  }
  is_linear_.assign(parameters_.size(), false);
}

BatchResult AutogradModel::fit(const Batch& batch, RandomKey key) {
  const OneThread one_thread;
  is_linear_.assign(parameters_.size(), false);
  const at::Tensor outputs = forward(features_of(batch), key);
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (parameters_[i].grad().defined() && !is_linear_[i]) parameters_[i].mutable_grad().zero_();
  mean_loss(outputs, batch).backward();
  return score(outputs, batch);
}

at::Tensor AutogradModel::linear(const at::Tensor& in, std::size_t index) const {
  is_linear_[index] = true;
  return linear_layer(in, parameters_[index], parameters_[index + 1]);
}

BatchResult AutogradModel::evaluate(const Batch& batch, at::Tensor predictions) {
  const OneThread one_thread;
  const at::NoGradGuard no_gradients;
  const at::Tensor outputs = forward(features_of(batch), std::nullopt);
  predict(outputs, batch, predictions);
  return score(outputs, batch);
}

void fill_uniform(at::Tensor tensor, double bound, RandomKey key) {
  RandomStream random(key);
  float* values = tensor.data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i)
    values[i] = static_cast<float>((2.0 * random.uniform() - 1.0) * bound);
}

double xavier_bound(const std::vector<std::int64_t>& shape) {
  const auto area = static_cast<double>(product(at::IntArrayRef(shape).slice(2)));
  return std::sqrt(6.0 / (area * static_cast<double>(shape[0] + shape[1])));
}

double default_bound(const std::vector<std::int64_t>& weight_shape) {
  return 1.0 / std::sqrt(static_cast<double>(product(at::IntArrayRef(weight_shape).slice(1))));
}

at::Tensor dropped(const at::Tensor& in, double probability, RandomKey key) {
  const auto threshold = static_cast<std::uint32_t>(std::lround(probability * 65536.0));
  if (threshold == 0) return in;
  const auto scale = static_cast<float>(65536.0 / (65536.0 - threshold));
  const at::Tensor mask = at::empty(in.sizes(), at::kFloat);
  float* factors = mask.mutable_data_ptr<float>();
  // A word decides of two elements.
  const std::int64_t num_words = (mask.numel() + 1) / 2;
  std::array<std::uint32_t, 1024> words;
  for (std::int64_t begin = 0; begin < num_words; begin += std::ssize(words)) {
    const std::int64_t count = std::min(std::ssize(words), num_words - begin);
    random_words(key, static_cast<std::uint64_t>(begin) / 4, std::span(words).first(static_cast<std::size_t>(count)));
    const std::int64_t pairs = std::min(count, mask.numel() / 2 - begin);
    for (std::int64_t i = 0; i < pairs; ++i) {
      const std::uint32_t word = words[static_cast<std::size_t>(i)];
      factors[2 * (begin + i)] = (word & 0xffff) < threshold ? 0.0F : scale;
      factors[2 * (begin + i) + 1] = (word >> 16) < threshold ? 0.0F : scale;
    }
    if (pairs < count)
      factors[mask.numel() - 1] = (words[static_cast<std::size_t>(pairs)] & 0xffff) < threshold ? 0.0F : scale;
  }
  return in * mask.to(in.device());
}

}  // namespace fedmpi
