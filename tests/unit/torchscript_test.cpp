// The plugin on modules that are made here; those that come from Python are in tests/e2e/torchscript.py.
#include "loaded_model.hpp"
#include "temporary_directory.hpp"

#include <cmath>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>

namespace fedmpi {
namespace {

// Convolution, a running mean that is replaced by another tensor, dropout, and things that change with each call: a
// counter, a list and a number, all of which the result depends on.
torch::jit::Module forgetful() {
  torch::jit::Module module("Forgetful");
  RandomStream random(random_key(4, Purpose::synthetic));
  const auto parameter = [&](const char* name, at::IntArrayRef shape) {
    at::Tensor value = at::empty(shape);
    for (std::int64_t i = 0; i < value.numel(); ++i)
      value.data_ptr<float>()[i] = static_cast<float>(0.3 * random.normal());
    module.register_parameter(name, value.requires_grad_(), false);
  };
  parameter("weight", {6, 2, 3, 3});
  parameter("out", {3, 6});
  parameter("unused", {2});
  module.register_buffer("mean", at::zeros({6}));
  module.register_buffer("num_batches", at::zeros({}, at::kLong));
  module.register_attribute("training", c10::BoolType::get(), true);
  module.register_attribute("calls", c10::IntType::get(), 0);
  module.register_attribute("history", c10::ListType::ofInts(), c10::List<std::int64_t>({1}));
  module.define(R"(
    def forward(self, x):
        out = torch.conv2d(x, self.weight).relu().mean([2, 3])
        if self.training:
            self.num_batches.add_(1)
            self.calls = self.calls + 1
            self.history.append(self.calls)
            self.mean = self.mean * 0.9 + out.detach().mean(0) * 0.1
        out = torch.dropout(out - self.mean, 0.4, self.training)
        return torch.linear(out, self.out) * float(self.calls + len(self.history) + int(self.num_batches))
  )");
  return module;
}

class TorchScript : public testing::Test {
 protected:
  TorchScript() { forgetful().save((directory_ / "module.pt").string()); }
  std::map<std::string, OptionValue> given(std::map<std::string, OptionValue> more = {}) const {
    more.insert({{"path", (directory_ / "module.pt").string()},
                 {"num_labels", std::int64_t{3}},
                 {"input_shape", std::vector<std::int64_t>{2, 9, 9}}});
    return more;
  }
  const Batch batch_ = dense_batch({24, 162}, 3);
  TemporaryDirectory directory_;
};

TEST_F(TorchScript, ParametersAreSharedAndBuffersStatistics) {
  const LoadedModel loaded("torchscript", given({{"head", std::vector<std::string>{"out"}}}));
  const Layout& layout = loaded.model->layout();
  ASSERT_EQ(layout.num_tensors(), 4U);
  EXPECT_EQ(layout.spec(*layout.find("weight")).role, TensorRole::shared);
  EXPECT_EQ(layout.spec(*layout.find("out")).kind, TensorKind::head);
  EXPECT_EQ(layout.spec(*layout.find("mean")).role, TensorRole::statistic);
  EXPECT_TRUE(loaded.value("weight").equal(forgetful().attr("weight").toTensor()));
}

TEST_F(TorchScript, GradientIsTheSlopeOfTheLoss) {
  LoadedModel loaded("torchscript", given());
  loaded.fit(batch_);
  const at::Tensor gradients = loaded.gradients.clone();
  EXPECT_EQ(loaded.gradient("mean").abs().max().item<float>(), 0.0F);
  EXPECT_EQ(loaded.gradient("unused").abs().max().item<float>(), 0.0F);
  const double norm = gradients.norm().item<double>(), step = 1e-2;
  ASSERT_GT(norm, 0.0);
  double losses[2];
  for (const int side : {0, 1}) {
    loaded.model->initialize(loaded.values, {});
    loaded.values.add_(gradients, (side == 0 ? -step : step) / norm);
    losses[side] = loaded.fit(batch_);
  }
  EXPECT_NEAR((losses[1] - losses[0]) / (2.0 * step), norm, 0.02 * norm);
}

TEST_F(TorchScript, FitChangesStatisticsAndEvaluateNothing) {
  LoadedModel loaded("torchscript", given());
  const double before = loaded.evaluate(batch_);
  EXPECT_EQ(loaded.value("mean").abs().max().item<float>(), 0.0F);
  loaded.fit(batch_);
  const at::Tensor features = batch_.features.view({24, 2, 9, 9});
  const at::Tensor mean = 0.1 * at::conv2d(features, loaded.value("weight")).relu().mean(at::IntArrayRef{0, 2, 3});
  EXPECT_TRUE(at::allclose(loaded.value("mean"), mean));
  EXPECT_NE(loaded.evaluate(batch_), before);
}

TEST_F(TorchScript, AFrozenStatisticStays) {
  LoadedModel loaded("torchscript", given(), [](const TensorSpec& spec) {
    return spec.role == TensorRole::statistic || spec.name == "weight" ? TensorRole::frozen : spec.role;
  });
  LoadedModel whole("torchscript", given());
  EXPECT_EQ(loaded.fit(batch_), whole.fit(batch_));
  EXPECT_EQ(loaded.value("mean").abs().max().item<float>(), 0.0F);
  EXPECT_TRUE(loaded.gradient("out").equal(whole.gradient("out")));
}

TEST_F(TorchScript, HistoryAndThreadsDoNotChangeABit) {
  LoadedModel loaded("torchscript", given());
  const at::Tensor start = loaded.values.clone();
  const double loss = loaded.fit(batch_), evaluated = loaded.evaluate(batch_);
  const at::Tensor gradients = loaded.gradients.clone(), values = loaded.values.clone();
  const int threads_before = at::get_num_threads();
  for (const int threads : {1, 2, 4}) {
    at::set_num_threads(threads);
    loaded.fit(dense_batch({7, 162}, 3), 8);
    loaded.values.copy_(start);
    EXPECT_EQ(loaded.fit(batch_), loss);
    EXPECT_EQ(loaded.evaluate(batch_), evaluated);
    EXPECT_TRUE(loaded.gradients.equal(gradients));
    EXPECT_TRUE(loaded.values.equal(values));
  }
  at::set_num_threads(threads_before);
  loaded.values.copy_(start);
  EXPECT_NE(loaded.fit(batch_, 7), loss);  // another key, another dropout
}

TEST_F(TorchScript, OneTensorOfTwoNamesIsOne) {
  torch::jit::Module module("Tied"), part("Part");
  const at::Tensor weight = at::ones({3, 162}).requires_grad_();
  part.register_attribute("training", c10::BoolType::get(), true);
  part.register_parameter("weight", weight, false);
  module.register_module("part", part);
  module.register_parameter("weight", weight, false);
  module.register_attribute("training", c10::BoolType::get(), true);
  module.define(R"(
    def forward(self, x):
        return torch.linear(x, self.weight) + torch.linear(x, self.part.weight)
  )");
  module.save((directory_ / "module.pt").string());
  auto options = given();
  options.erase("input_shape");
  LoadedModel loaded("torchscript", options);
  ASSERT_EQ(loaded.model->layout().num_tensors(), 1U);
  const double before = loaded.fit(batch_);
  loaded.values.sub_(loaded.gradients.mul(1e-3));
  EXPECT_LT(loaded.fit(batch_), before);
}

TEST_F(TorchScript, WhatItReturnsIsChecked) {
  const auto complaint = [&](const std::map<std::string, OptionValue>& options, const Batch& batch) {
    return refusal([&] { LoadedModel::load("torchscript", options)->check(batch); });
  };
  EXPECT_EQ(complaint(given(), batch_), "no error");
  const std::string arguments = complaint(given({{"loss", std::string("module")}}), batch_);
  EXPECT_NE(arguments.find("Expected at most 2 argument"), std::string::npos) << arguments;
  EXPECT_NE(complaint(given({{"num_labels", std::int64_t{4}}}), batch_).find("set model.num_labels = 3"),
            std::string::npos);
  Batch batch = dense_batch({4, 162}, 3);
  batch.labels[2] = -1;
  EXPECT_NE(complaint(given(), batch).find("label -1"), std::string::npos);
  const Batch text{.tokens = at::zeros({5}, at::kInt),
                   .offsets = at::tensor({0, 5}, at::kLong),
                   .labels = at::zeros({1}, at::kLong)};
  EXPECT_NE(complaint(given(), text).find("the dataset has text"), std::string::npos);
}

TEST_F(TorchScript, ExportsTheModuleWithWhatWasLearned) {
  const LoadedModel trained("torchscript", given());
  trained.model->fit(batch_, random_key(1, Purpose::dropout));
  const std::filesystem::path out = directory_ / "out";
  std::filesystem::create_directory(out);
  const at::Tensor moved = trained.values.add(0.01F);
  ASSERT_EQ(trained.model->export_to(out, moved, {}), std::vector<std::string>{"model.pt"});
  LoadedModel exported("torchscript", given({{"path", (out / "model.pt").string()}}));
  for (std::size_t i = 0; i < exported.model->layout().num_tensors(); ++i)
    EXPECT_TRUE(exported.model->layout().view(exported.values, i).equal(trained.model->layout().view(moved, i)));
  LoadedModel before("torchscript", given());
  before.values.copy_(exported.values);
  EXPECT_EQ(exported.evaluate(batch_), before.evaluate(batch_)) << "counters are as they were in the file";
}

}  // namespace
}  // namespace fedmpi
