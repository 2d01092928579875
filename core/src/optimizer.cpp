#include "optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

namespace fedmpi {

namespace {

// One run's views and its learning rate.
struct Part {
  at::Tensor values, gradients;
  double learning_rate;
  bool is_local;

  bool is_in(Trained trained) const { return trained == Trained::all || (trained == Trained::local) == is_local; }
};

std::vector<Part> make_parts(const TrainingSettings& settings, const Layout& layout, const at::Tensor& values,
                             const at::Tensor& gradients) {
  std::vector<Part> parts;
  const auto add = [&](std::int64_t begin, std::int64_t end, const Layout::Run& run) {
    if (begin >= end) return;
    parts.push_back({values.narrow(0, begin, end - begin), gradients.narrow(0, begin, end - begin),
                     run.learning_rate.value_or(settings.learning_rate), begin >= layout.shared_size()});
  };
  for (const Layout::Run& run : layout.runs()) {
    add(run.begin, std::min(run.end, layout.shared_size()), run);
    add(std::max(run.begin, layout.shared_size()), run.end, run);
  }
  return parts;
}

class Sgd final : public Optimizer {
 public:
  Sgd(const TrainingSettings& settings, std::vector<Part> parts) : settings_{settings}, parts_{std::move(parts)} {
    for (const Part& part : parts_)
      momenta_.push_back(settings_.momentum == 0.0 ? at::Tensor() : at::zeros_like(part.values));
  }

  void reset() override { first_.assign(parts_.size(), true); }

  void step(double factor, Trained trained) override {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (!parts_[i].is_in(trained)) continue;
      std::vector<at::Tensor> momenta;
      if (momenta_[i].defined()) momenta.push_back(momenta_[i]);
      at::_fused_sgd_({parts_[i].values}, {parts_[i].gradients}, momenta, settings_.weight_decay, settings_.momentum,
                      parts_[i].learning_rate * factor, /*dampening=*/0.0, /*nesterov=*/false, /*maximize=*/false,
                      /*is_first_step=*/first_[i]);
      first_[i] = false;
    }
  }

 private:
  TrainingSettings settings_;
  std::vector<Part> parts_;
  std::vector<at::Tensor> momenta_;
  std::vector<bool> first_ = std::vector<bool>(parts_.size(), true);
};

class AdamW final : public Optimizer {
 public:
  AdamW(const TrainingSettings& settings, std::vector<Part> parts) : settings_{settings}, parts_{std::move(parts)} {
    for (const Part& part : parts_) {
      first_moments_.push_back(at::zeros_like(part.values));
      second_moments_.push_back(at::zeros_like(part.values));
      num_steps_.push_back(at::zeros({1}, part.values.options()));
    }
  }

  void reset() override {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      first_moments_[i].zero_();
      second_moments_[i].zero_();
      num_steps_[i].zero_();
    }
  }

  void step(double factor, Trained trained) override {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (!parts_[i].is_in(trained)) continue;
      num_steps_[i] += 1.0;
      at::_fused_adamw_({parts_[i].values}, {parts_[i].gradients}, {first_moments_[i]}, {second_moments_[i]},
                        /*max_exp_avg_sqs=*/{}, {num_steps_[i]}, parts_[i].learning_rate * factor, settings_.beta1,
                        settings_.beta2, settings_.weight_decay, settings_.epsilon, /*amsgrad=*/false,
                        /*maximize=*/false);
    }
  }

 private:
  TrainingSettings settings_;
  std::vector<Part> parts_;
  std::vector<at::Tensor> first_moments_, second_moments_, num_steps_;
};

}  // namespace

Optimizer::~Optimizer() = default;

std::unique_ptr<Optimizer> make_optimizer(const TrainingSettings& settings, const Layout& layout, at::Tensor values,
                                          at::Tensor gradients) {
  auto parts = make_parts(settings, layout, values, gradients);
  if (settings.optimizer == OptimizerKind::sgd) return std::make_unique<Sgd>(settings, std::move(parts));
  return std::make_unique<AdamW>(settings, std::move(parts));
}

double schedule_factor(const TrainingSettings& settings, double progress) {
  const double warmup = settings.warmup_fraction;
  if (progress < warmup) return progress / warmup;
  if (settings.schedule == LearningRateSchedule::constant || warmup >= 1.0) return 1.0;
  const double decayed = (progress - warmup) / (1.0 - warmup);
  if (settings.schedule == LearningRateSchedule::linear) return 1.0 - decayed;
  return 0.5 * (1.0 + std::cos(std::numbers::pi * decayed));
}

double l2_norm(const at::Tensor& vector) {
  if (!vector.is_cpu())
    return at::linalg_vector_norm(vector, 2, std::nullopt, /*keepdim=*/false, at::kDouble).item<double>();
  constexpr std::int64_t block = 1 << 14;
  const float* values = vector.const_data_ptr<float>();
  const std::int64_t size = vector.numel(), num_blocks = (size + block - 1) / block;
  std::vector<double> squares(static_cast<std::size_t>(num_blocks));
  at::parallel_for(0, num_blocks, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t b = first; b < last; ++b) {
      double sum = 0.0;
      for (std::int64_t i = b * block; i < std::min(size, (b + 1) * block); ++i)
        sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
      squares[static_cast<std::size_t>(b)] = sum;
    }
  });
  double sum = 0.0;
  for (const double part : squares) sum += part;
  return std::sqrt(sum);
}

double clip_gradient_norm(at::Tensor gradients, double max_norm) {
  const double before = l2_norm(gradients);
  const double factor = max_norm / (before + 1e-6);
  if (factor < 1.0) gradients.mul_(factor);
  return before;
}

}  // namespace fedmpi
