// mlp and cnn beside torch.nn's own layers.
#include "loaded_model.hpp"

#include <cmath>
#include <tuple>

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/nn.h>

namespace fedmpi {
namespace {

using Given = std::map<std::string, OptionValue>;
namespace nn = torch::nn;

const Given no_dropout{{"dropout", 0.0}, {"hidden_dropout", 0.0}};
const Given small_mlp{{"num_features", std::int64_t{12}},
                      {"hidden", std::vector<std::int64_t>{40, 24}},
                      {"activation", std::string("tanh")},
                      {"num_labels", std::int64_t{3}}};

nn::Sequential torch_cnn(std::int64_t pooled = 12544) {
  return nn::Sequential(nn::Conv2d(nn::Conv2dOptions(3, 32, 3)), nn::ReLU(), nn::Conv2d(nn::Conv2dOptions(32, 64, 3)),
                        nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(), nn::Linear(pooled, 128), nn::ReLU(),
                        nn::Linear(128, 10));
}

nn::Sequential torch_mlp() {
  return nn::Sequential(nn::Linear(12, 40), nn::Tanh(), nn::Linear(40, 24), nn::Tanh(), nn::Linear(24, 3));
}

// The loss and every gradient, from the same values in the same order, but for a share of them.
void expect_equal(LoadedModel& ours, nn::Sequential& theirs, const Batch& batch, double share = 1e-5) {
  const Layout& layout = ours.model->layout();
  const auto parameters = theirs->parameters();
  ASSERT_EQ(parameters.size(), layout.num_tensors());
  {
    const at::NoGradGuard no_gradients;
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].copy_(layout.view(ours.values, i));
  }
  theirs->to(at::kDouble);
  const at::Tensor loss = at::cross_entropy_loss(theirs->forward(batch.features.to(at::kDouble)), batch.labels);
  loss.backward();
  EXPECT_NEAR(ours.fit(batch), loss.item<double>(), share);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor expected = theirs->parameters()[i].grad();
    const double difference = (layout.view(ours.gradients, i).to(at::kDouble) - expected).norm().item<double>();
    EXPECT_LE(difference, share * expected.norm().item<double>()) << layout.spec(i).name;
  }
}

TEST(Cnn, IsTheBenchmarksNetwork) {
  LoadedModel cnn("cnn", no_dropout);
  std::int64_t size = 0;
  for (std::size_t i = 0; i < cnn.model->layout().num_tensors(); ++i) size += cnn.model->layout().num_elements(i);
  EXPECT_EQ(size, 1'626'442);
  nn::Sequential theirs = torch_cnn();
  expect_equal(cnn, theirs, dense_batch({5, 3, 32, 32}, 10));
}

TEST(Cnn, TakesImagesThatPoolingDoesNotDivide) {
  Given given = no_dropout;
  given["input_shape"] = std::vector<std::int64_t>{3, 13, 15};
  LoadedModel cnn("cnn", given);
  nn::Sequential theirs = torch_cnn(64 * 4 * 5);
  expect_equal(cnn, theirs, dense_batch({4, 3, 13, 15}, 10));
}

TEST(Cnn, IsTheSameNetworkInBf16) {
  LoadedModel cnn("cnn", no_dropout, nullptr, 5, Precision::bf16);
  nn::Sequential theirs = torch_cnn();
  // Where two numbers of a window round to the same one another may be chosen.
  expect_equal(cnn, theirs, dense_batch({5, 3, 32, 32}, 10), 0.2);
}

TEST(Mlp, IsLinearLayersAndActivations) {
  LoadedModel mlp("mlp", small_mlp);
  nn::Sequential theirs = torch_mlp();
  expect_equal(mlp, theirs, dense_batch({33, 12}, 3));
}

TEST(Cnn, RowsAreImages) {
  LoadedModel cnn("cnn", no_dropout);
  const Batch images = dense_batch({4, 3, 32, 32}, 10);
  const Batch rows{.features = images.features.flatten(1), .labels = images.labels};
  EXPECT_EQ(cnn.evaluate(rows), cnn.evaluate(images));
}

TEST(Cnn, StartsXavierUniform) {
  const LoadedModel cnn("cnn", {});
  for (const auto& [name, bound] :
       {std::pair{"first.weight", std::sqrt(6.0 / (9 * (3 + 32)))},
        std::pair{"second.weight", std::sqrt(6.0 / (9 * (32 + 64)))},
        std::pair{"hidden.weight", std::sqrt(6.0 / (12544 + 128))},
        std::pair{"out.weight", std::sqrt(6.0 / (128 + 10))}, std::pair{"second.bias", 1.0 / std::sqrt(9.0 * 32)}}) {
    const at::Tensor value = cnn.value(name);
    EXPECT_LE(value.abs().max().item<double>(), bound) << name;
    EXPECT_GT(value.abs().max().item<double>(), 0.9 * bound) << name;
    EXPECT_NEAR(value.std().item<double>(), bound / std::sqrt(3.0), 0.2 * bound) << name;
  }
  const LoadedModel same("cnn", {}), other("cnn", {}, nullptr, 6);
  EXPECT_TRUE(same.values.equal(cnn.values));
  EXPECT_FALSE(other.values.equal(cnn.values));
}

struct DenseCase {
  const char* name;
  Given given;
  std::vector<std::int64_t> shape;
};
class DenseModel : public testing::TestWithParam<DenseCase> {
 protected:
  Given with_dropout() const {
    Given given = GetParam().given;
    given["dropout"] = 0.3;
    return given;
  }
  Batch batch() const { return dense_batch(GetParam().shape, 3); }
};
INSTANTIATE_TEST_SUITE_P(All, DenseModel,
                         testing::Values(DenseCase{"mlp", small_mlp, {64, 12}},
                                         DenseCase{"mlp",
                                                   {{"num_features", std::int64_t{784}},
                                                    {"hidden", std::vector<std::int64_t>{300}},
                                                    {"num_labels", std::int64_t{10}}},
                                                   {256, 28, 28}},
                                         DenseCase{"cnn", {}, {10, 3, 32, 32}}),
                         [](const auto& of) { return of.param.name + std::to_string(of.index); });

TEST_P(DenseModel, ThreadsDoNotChangeABit) {
  LoadedModel loaded(GetParam().name, with_dropout());
  const int threads_before = at::get_num_threads();
  std::vector<std::tuple<double, double, at::Tensor>> results;
  for (const int threads : {1, 2, 4}) {
    at::set_num_threads(threads);
    const double loss = loaded.fit(batch());
    results.emplace_back(loss, loaded.evaluate(batch()), loaded.gradients.clone());
    EXPECT_EQ(at::get_num_threads(), threads);
  }
  at::set_num_threads(threads_before);
  for (const auto& [loss, evaluated, gradients] : results) {
    EXPECT_EQ(loss, std::get<0>(results[0]));
    EXPECT_EQ(evaluated, std::get<1>(results[0]));
    EXPECT_TRUE(gradients.equal(std::get<2>(results[0])));
  }
}

// In double the slope of the loss along the gradient is its norm; here as near as float32 and kinks let it be.
TEST_P(DenseModel, DropoutIsTheSameForwardAndBackwardAndAFunctionOfItsKey) {
  LoadedModel loaded(GetParam().name, with_dropout());
  const double loss = loaded.fit(batch());
  const at::Tensor gradients = loaded.gradients.clone(), start = loaded.values.clone();
  EXPECT_NE(loaded.fit(batch(), 7), loss);
  const double norm = gradients.norm().item<double>(), step = 1e-2;
  double losses[2];
  for (const int side : {0, 1}) {
    loaded.values.copy_(start).add_(gradients, (side == 0 ? -step : step) / norm);
    losses[side] = loaded.fit(batch());
  }
  EXPECT_NEAR((losses[1] - losses[0]) / (2.0 * step), norm, 0.02 * norm);
  loaded.values.copy_(start);
  EXPECT_EQ(loaded.fit(batch()), loss);
  EXPECT_TRUE(loaded.gradients.equal(gradients));
}

TEST_P(DenseModel, AHeadAloneHasTheGradientItHasBesideTheRest) {
  LoadedModel whole(GetParam().name, GetParam().given);
  LoadedModel head(GetParam().name, GetParam().given, [](const TensorSpec& spec) {
    return spec.kind == TensorKind::head ? TensorRole::local : TensorRole::frozen;
  });
  EXPECT_EQ(head.fit(batch()), whole.fit(batch()));
  std::size_t num_trained = 0;
  const Layout& layout = head.model->layout();
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    if (!layout.has_gradient(i)) continue;
    EXPECT_TRUE(head.gradient(layout.spec(i).name).equal(whole.gradient(layout.spec(i).name)));
    ++num_trained;
  }
  EXPECT_EQ(num_trained, 2U);
}

TEST(DenseModels, NameWhatDoesNotFit) {
  const LoadedModel cnn("cnn", {}), mlp("mlp", small_mlp);
  const auto complaint = [](const LoadedModel& loaded, const Batch& batch) {
    return refusal([&] { loaded.model->check(batch); });
  };
  EXPECT_EQ(complaint(cnn, dense_batch({2, 3, 32, 32}, 10)), "no error");
  EXPECT_NE(complaint(cnn, dense_batch({2, 32, 32, 3}, 10)).find("[3, 32, 32], but the dataset has [32, 32, 3]"),
            std::string::npos);
  EXPECT_NE(complaint(mlp, dense_batch({2, 13}, 3)).find("set model.num_features"), std::string::npos);
  Batch batch = dense_batch({2, 12}, 3);
  batch.labels[1] = 3;
  EXPECT_NE(complaint(mlp, batch).find("label 3"), std::string::npos);
  EXPECT_NE(complaint(mlp, {.labels = batch.labels}).find("needs a dataset with features"), std::string::npos);
  EXPECT_NE(refusal([] {
              LoadedModel("cnn", {{"input_shape", std::vector<std::int64_t>{3, 5, 32}}});
            }).find("[3, 5, 32]"),
            std::string::npos);
}

}  // namespace
}  // namespace fedmpi
