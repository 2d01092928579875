#include "conformance_model.hpp"
#include "fedmpi/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/ATen.h>

namespace fedmpi {

namespace {

constexpr double tolerance = 0.05;
constexpr std::size_t most_tensors = 24;
constexpr std::int64_t most_elements = 64;  // that a random direction moves

// +1 and -1, as many as `tensor` has elements.
at::Tensor random_signs(at::IntArrayRef shape, RandomKey key) {
  at::Tensor signs = at::empty(shape, at::kFloat);
  RandomStream random(key);
  auto* element = signs.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < signs.numel(); ++i) element[i] = random.below(2) == 0 ? 1.0F : -1.0F;
  return signs;
}

class Slopes {
 public:
  Slopes(TriedModel& model, const at::Tensor& values, const Batch& batch)
      : model_{model}, values_{values}, batch_{batch}, gradients_{model.fit(values, batch, key_).gradients} {
    const double loss = loss_at(values_);
    noise_ = 1e-7 * std::max(1.0, std::abs(loss));
    // What changes in the last bits of the values make of it is rounding.
    for (std::uint64_t i = 0; i < 4; ++i) {
      const at::Tensor nearby = values_.addcmul(values_, random_signs(values_.sizes(), derive(key_, i)), 1e-6);
      noise_ = std::max(noise_, 2.0 * std::abs(loss_at(nearby) - loss));
    }
  }

  // Slopes over shorter and shorter steps, as far as rounding does not drown them, must come to the gradient's. Two
  // that agree are needed to say that it is wrong: where the loss bends within a step, its slope is no measure.
  void check(std::size_t tensor, const at::Tensor& direction) const {
    const Layout& layout = model_.layout();
    const at::Tensor whole = at::zeros_like(values_);
    layout.view(whole, tensor).copy_(direction);
    const double expected =
        (layout.gradient_view(gradients_, tensor).to(at::kDouble) * direction.to(at::kDouble)).sum().item<double>();
    std::optional<double> before;
    bool is_wrong = false;
    double measured = 0.0;
    for (const double step : {0.1, 0.03, 0.01, 0.003, 0.001}) {
      const double slope = (loss_at(values_.add(whole, step)) - loss_at(values_.add(whole, -step))) / (2 * step);
      const double size = std::max(std::abs(expected), std::abs(slope));
      if (size * step < 10 * noise_) break;
      if (before) {
        const double doubt = tolerance * size + noise_ / step + std::abs(slope - *before);
        if (std::abs(slope - expected) <= doubt) return;
        is_wrong = true;
        measured = slope;
      }
      before = slope;
    }
    if (is_wrong)
      fails(
          "has a gradient that is not its loss's: along '{}' the loss changes by {:.4g} a step where the gradient says "
          "{:.4g}",
          layout.spec(tensor).name, measured, expected);
  }

  const at::Tensor& gradients() const { return gradients_; }

 private:
  double loss_at(const at::Tensor& values) const {
    const BatchResult sums = model_.fit(values, batch_, key_).sums;
    return sums.loss_sum / static_cast<double>(sums.num_examples);
  }

  static constexpr RandomKey key_{7};  // dropout masks stay as they are
  TriedModel& model_;
  const at::Tensor& values_;
  const Batch& batch_;
  at::Tensor gradients_;
  double noise_ = 0.0;
};

// Some elements, so that what the gradient leaves out shows.
at::Tensor random_direction(const std::vector<std::int64_t>& shape, RandomKey key) {
  at::Tensor direction = at::zeros(shape, at::kFloat);
  const std::int64_t count = std::min(direction.numel(), most_elements);
  const at::Tensor signs = random_signs({count}, key);
  RandomStream random(derive(key, 1));
  for (std::int64_t i = 0; i < count; ++i)
    direction.mutable_data_ptr<float>()[random.below(static_cast<std::uint64_t>(direction.numel()))] =
        signs.const_data_ptr<float>()[i];
  return direction;
}

// `values` with parameters of the size that layers start with: around zero, or where all are alike, the loss bends at
// the very point that is looked at.
at::Tensor away_from_zero(const Layout& layout, const at::Tensor& values) {
  at::Tensor moved = values.clone();
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    if (!layout.has_gradient(i)) continue;
    const at::Tensor tensor = layout.view(moved, i);
    const std::int64_t inputs = tensor.dim() > 1 && tensor.size(0) > 0 ? tensor.numel() / tensor.size(0) : 10;
    const double scale = 0.3 / std::sqrt(static_cast<double>(std::max<std::int64_t>(inputs, 1)));
    RandomStream random(derive(RandomKey{13}, i));
    auto* element = tensor.mutable_data_ptr<float>();
    for (std::int64_t k = 0; k < tensor.numel(); ++k) element[k] += static_cast<float>(scale * random.normal());
  }
  return moved;
}

}  // namespace

void check_gradient(TriedModel& model, const at::Tensor& values, const Batch& batch) {
  const Layout& layout = model.layout();
  const at::Tensor point = away_from_zero(layout, values);
  const Slopes slopes(model, point, batch);
  std::vector<std::size_t> trained;
  for (std::size_t i = 0; i < layout.num_tensors(); ++i)
    if (layout.has_gradient(i) && layout.num_elements(i) > 0) trained.push_back(i);
  const std::size_t count = std::min(trained.size(), most_tensors);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t tensor = trained[i * trained.size() / count];
    const at::Tensor gradient = layout.gradient_view(slopes.gradients(), tensor);
    const auto largest = gradient.abs().max().item<double>();
    if (largest > 0.0) slopes.check(tensor, gradient / largest);
    slopes.check(tensor, random_direction(layout.spec(tensor).shape, derive(RandomKey{11}, tensor)));
  }
}

}  // namespace fedmpi
