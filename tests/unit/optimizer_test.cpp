#include "optimizer.hpp"

#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

const Layout& two_rates() {
  static const Layout layout({{.name = "body", .shape = {16}}, {.name = "head", .shape = {16}, .learning_rate = 1.0}});
  return layout;
}

TEST(Sgd, MomentumByHand) {
  TrainingSettings settings{.optimizer = OptimizerKind::sgd, .learning_rate = 0.1, .momentum = 0.9};
  at::Tensor values = at::zeros({32}), gradients = at::ones({32});
  auto optimizer = make_optimizer(settings, two_rates(), values, gradients);
  for (int pass = 0; pass < 2; ++pass) {
    values.zero_();
    optimizer->reset();
    optimizer->step(1.0);
    optimizer->step(0.5);
    // momentum 1, then 1.9: body -0.1 - 0.05 * 1.9, head -1 - 0.5 * 1.9
    EXPECT_NEAR(values[0].item<float>(), -0.195, 1e-6);
    EXPECT_NEAR(values[31].item<float>(), -1.95, 1e-6);
  }
}

TEST(AdamW, TwoStepsByHand) {
  TrainingSettings settings{.learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.01};
  at::Tensor values = at::full({32}, 2.0F), gradients = at::full({32}, 0.5F);
  auto optimizer = make_optimizer(settings, two_rates(), values, gradients);
  optimizer->step(1.0);
  optimizer->step(1.0);
  // With a constant gradient the bias-corrected ratio is 1: w <- w (1 - lr wd) - lr, twice.
  const double factor = 1.0 - 0.1 * 0.01;
  EXPECT_NEAR(values[0].item<float>(), (2.0 * factor - 0.1) * factor - 0.1, 1e-5);
}

// Not even by weight decay.
TEST(Optimizer, StatisticsStayAsTheyAre) {
  const Layout layout({{.name = "mean", .shape = {16}, .role = TensorRole::statistic},
                       {.name = "weight", .shape = {16}},
                       {.name = "own", .shape = {16}, .role = TensorRole::local}});
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
    const TrainingSettings settings{
        .optimizer = kind, .learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.5};
    at::Tensor values = at::full({48}, 2.0F), gradients = at::ones({48});
    make_optimizer(settings, layout, values, gradients)->step(1.0);
    EXPECT_TRUE(layout.view(values, 0).equal(at::full({16}, 2.0F)));
    EXPECT_LT(layout.view(values, 1).max().item<float>(), 1.95F);
    EXPECT_LT(layout.view(values, 2).max().item<float>(), 1.95F);
  }
}

TEST(ScheduleFactor, WarmsUpAndFalls) {
  TrainingSettings settings{.schedule = LearningRateSchedule::linear, .warmup_fraction = 0.2};
  EXPECT_DOUBLE_EQ(schedule_factor(settings, 0.1), 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor(settings, 0.2), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor(settings, 0.6), 0.5);
  settings.schedule = LearningRateSchedule::cosine;
  EXPECT_NEAR(schedule_factor(settings, 0.6), 0.5, 1e-12);
  EXPECT_NEAR(schedule_factor(settings, 1.0), 0.0, 1e-12);
  settings.schedule = LearningRateSchedule::constant;
  EXPECT_DOUBLE_EQ(schedule_factor(settings, 1.0), 1.0);
}

TEST(ClipGradientNorm, ScalesToTheBoundAndOnlyDown) {
  at::Tensor gradients = at::tensor({3.0F, 4.0F});
  EXPECT_DOUBLE_EQ(clip_gradient_norm(gradients, 10.0), 5.0);
  EXPECT_EQ(gradients[1].item<float>(), 4.0F);
  clip_gradient_norm(gradients, 1.0);
  EXPECT_NEAR(gradients[0].item<float>(), 0.6, 1e-6);
  EXPECT_NEAR(gradients[1].item<float>(), 0.8, 1e-6);
}

TEST(ClipGradientNorm, BitsDoNotDependOnThreads) {
  const at::Tensor gradients = at::arange(1, 1'000'003, at::kFloat).sin();
  at::set_num_threads(1);
  const double one = clip_gradient_norm(gradients.clone(), 1e9);
  at::set_num_threads(2);
  EXPECT_EQ(one, clip_gradient_norm(gradients.clone(), 1e9));
}

}  // namespace
}  // namespace fedmpi
