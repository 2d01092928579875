// The network of LibTorch's operators, on the CPU, beside the one of our own kernels.
#include "device_network.hpp"

#include "device_dropout.hpp"
#include "transformer.hpp"
#include "transformer_files.hpp"

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

struct PackedExamples {
  explicit PackedExamples(const std::vector<std::int64_t>& lengths) {
    RandomStream random(random_key(9, Purpose::synthetic));
    for (const std::int64_t length : lengths) {
      for (std::int64_t i = 0; i < length; ++i) tokens.push_back(static_cast<std::int32_t>(random.below(23)));
      offsets.push_back(static_cast<std::int64_t>(tokens.size()));
      labels.push_back(length % 3);
    }
  }
  PackedTokens packed() const { return {tokens, offsets}; }

  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> offsets{0}, labels;
};

enum class Trained { all, last_layer, head, adapters };

struct DeviceCase {
  const char* type;
  Pooling pooling;
  Trained trained;
};

// One model's description and values. Without `dropout` it drops nothing.
class Described {
 public:
  explicit Described(const DeviceCase& of, bool dropout = false)
      : directory_{make_directory(of.type)}, file_{directory_->path() / "model.safetensors"} {
    description.num_labels = 3;
    description.pooling = of.pooling;
    description.config = read_transformer_config(directory_->path() / "config.json");
    TransformerConfig& config = description.config;
    if (!dropout) config.dropout = config.attention_dropout = config.classifier_dropout = 0.0;
    ParameterChoices choices{
        .num_labels = 3, .pooling = of.pooling, .head_learning_rate = 0.0, .train_layers = {}, .adapters = {}};
    if (of.trained == Trained::last_layer) choices.train_layers = 1;
    if (of.trained == Trained::head) choices.train_layers = 0;
    if (of.trained == Trained::adapters) choices.adapters = {.rank = 3, .alpha = 6.0, .targets = targets(of.type)};
    layout = make_layout(config, choices, file_);
    description.places = find_places(layout, config, choices.adapters.alpha);
    values = at::zeros({layout.size()});
    initial_values(layout, config, file_, random_key(5, Purpose::initialise), values);
    RandomStream random(random_key(8, Purpose::synthetic));
    for (std::size_t i = 0; i < layout.num_tensors(); ++i) {  // adapters' B starts at zero
      if (!layout.spec(i).name.ends_with(up_name)) continue;
      const at::Tensor up = layout.view(values, i);
      for (std::int64_t j = 0; j < up.numel(); ++j) up.data_ptr<float>()[j] = static_cast<float>(0.3 * random.normal());
    }
  }
  at::Tensor no_gradients() const { return at::zeros({layout.trainable_size()}); }

  NetworkDescription description;
  Layout layout;
  at::Tensor values;

 private:
  // Some of the three that are one matrix, and all others.
  static std::vector<std::string> targets(const std::string& type) {
    if (type == "bert") return {"query", "value", "dense"};
    return {"k_lin", "v_lin", "out_lin", "lin1", "lin2"};
  }

  std::unique_ptr<TransformerDirectory> directory_;
  SafetensorsFile file_;
};

struct Fitted {
  BatchResult result;
  at::Tensor gradients;
};

Fitted fitted(const Described& model, Precision precision, const PackedExamples& examples, bool on_device,
              RandomKey key = random_key(6, Purpose::dropout), std::int64_t part_limit = 1 << 28) {
  const at::Tensor gradients = model.no_gradients();
  std::unique_ptr<Network> network;
  if (on_device) {
    network = make_device_network(model.description, model.values, gradients, precision, part_limit);
  } else {
    const auto make = precision == Precision::bf16 ? make_network<Bf16> : make_network<float>;
    network = make(model.description, model.values.const_data_ptr<float>(), gradients.mutable_data_ptr<float>());
  }
  return {network->fit(examples.packed(), examples.labels, key), gradients};
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).norm().item<double>();
}

const PackedExamples& some_examples() {
  static const PackedExamples examples({40, 3, 70, 12, 1});
  return examples;
}

class DeviceNetworkOf : public testing::TestWithParam<DeviceCase> {};

std::vector<DeviceCase> device_cases() {
  std::vector<DeviceCase> cases;
  for (const char* type : {"distilbert", "bert"})
    for (const Pooling pooling : {Pooling::head, Pooling::mean})
      for (const Trained trained : {Trained::all, Trained::last_layer, Trained::head, Trained::adapters})
        cases.push_back({type, pooling, trained});
  return cases;
}

std::string name_of_case(const testing::TestParamInfo<DeviceCase>& of) {
  constexpr const char* trained[] = {"all", "last_layer", "head", "adapters"};
  return std::string(of.param.type) + (of.param.pooling == Pooling::mean ? "_mean_" : "_head_") +
         trained[static_cast<int>(of.param.trained)];
}

INSTANTIATE_TEST_SUITE_P(All, DeviceNetworkOf, testing::ValuesIn(device_cases()), name_of_case);

TEST_P(DeviceNetworkOf, Float32IsAsOurKernels) {
  const Described model(GetParam());
  const Fitted ours = fitted(model, Precision::float32, some_examples(), false);
  const Fitted device = fitted(model, Precision::float32, some_examples(), true);
  EXPECT_EQ(device.result.num_examples, 5);
  EXPECT_NEAR(device.result.loss_sum, ours.result.loss_sum, 1e-5);
  const double whole = ours.gradients.norm().item<double>();
  for (std::size_t i = 0; i < model.layout.num_tensors(); ++i) {
    if (!model.layout.has_gradient(i)) continue;
    const at::Tensor expected = model.layout.view(ours.gradients, i);
    EXPECT_LT(distance(model.layout.view(device.gradients, i), expected),
              1e-5 * expected.norm().item<double>() + 1e-6 * whole)
        << model.layout.spec(i).name;
  }
}

TEST_P(DeviceNetworkOf, Bf16IsNearOurKernels) {
  const Described model(GetParam());
  const Fitted ours = fitted(model, Precision::bf16, some_examples(), false);
  const Fitted device = fitted(model, Precision::bf16, some_examples(), true);
  EXPECT_NEAR(device.result.loss_sum, ours.result.loss_sum, 0.1);
  EXPECT_LT(distance(device.gradients, ours.gradients), 0.05 * ours.gradients.norm().item<double>());
  EXPECT_GT(distance(device.gradients, fitted(model, Precision::float32, some_examples(), true).gradients), 0.0);
}

TEST_P(DeviceNetworkOf, EvaluatesAsOurKernels) {
  const Described model(GetParam());
  const at::Tensor gradients = model.no_gradients();
  const auto ours =
      make_network<float>(model.description, model.values.const_data_ptr<float>(), gradients.mutable_data_ptr<float>());
  const auto device = make_device_network(model.description, model.values, gradients, Precision::float32);
  const PackedExamples& examples = some_examples();
  const BatchResult expected = ours->evaluate(examples.packed(), examples.labels);
  const BatchResult result = device->evaluate(examples.packed(), examples.labels);
  EXPECT_EQ(result.num_examples, expected.num_examples);
  EXPECT_NEAR(result.loss_sum, expected.loss_sum, 1e-5);
  const at::Tensor logits = matrix(device->logits(), 5, 3), expected_logits = matrix(ours->logits(), 5, 3);
  EXPECT_LT((logits - expected_logits).abs().max().item<double>(), 1e-5);
  EXPECT_TRUE(logits.argmax(1).equal(expected_logits.argmax(1)));
  EXPECT_EQ(gradients.count_nonzero().item<std::int64_t>(), 0);
}

TEST_P(DeviceNetworkOf, DropoutIsAFunctionOfTheKey) {
  const Described model(GetParam(), true);
  const auto with = [&](std::uint64_t key) {
    return fitted(model, Precision::float32, some_examples(), true, RandomKey{key});
  };
  const Fitted first = with(1), again = with(1), other = with(2);
  EXPECT_EQ(first.result.loss_sum, again.result.loss_sum);
  EXPECT_TRUE(first.gradients.equal(again.gradients));
  EXPECT_NE(first.result.loss_sum, other.result.loss_sum);
  EXPECT_GT(distance(first.gradients, other.gradients), 0.0);
}

TEST_P(DeviceNetworkOf, PartsOfABatchAddUpToIt) {
  const Described model(GetParam());
  const Fitted whole = fitted(model, Precision::float32, some_examples(), true);
  const Fitted parts = fitted(model, Precision::float32, some_examples(), true, {}, 2 * 40 * (4 * 40 + 10 * 16));
  EXPECT_NEAR(parts.result.loss_sum, whole.result.loss_sum, 1e-5);
  EXPECT_EQ(parts.result.num_examples, 5);
  EXPECT_LT(distance(parts.gradients, whole.gradients), 1e-5 * whole.gradients.norm().item<double>());
  const auto network =
      make_device_network(model.description, model.values, model.no_gradients(), Precision::float32, 1);
  const double loss = network->evaluate(some_examples().packed(), some_examples().labels).loss_sum;
  EXPECT_NEAR(loss, whole.result.loss_sum, 1e-5);
}

TEST(DeviceNetwork, AddsToTheGradientsThatAreThere) {
  const Described model({"bert", Pooling::head, Trained::all});
  const at::Tensor gradients = model.no_gradients();
  const auto network = make_device_network(model.description, model.values, gradients, Precision::float32);
  const auto fit = [&] { network->fit(some_examples().packed(), some_examples().labels, {}); };
  fit();
  const at::Tensor once = gradients.clone();
  fit();
  EXPECT_GT(once.norm().item<double>(), 0.0);
  EXPECT_LT(distance(gradients, 2.0 * once), 1e-6 * once.norm().item<double>());
}

// Also of values that the engine wrote without saying so to autograd.
TEST(DeviceNetwork, SeesChangedValues) {
  const Described model({"distilbert", Pooling::head, Trained::all});
  const auto network = make_device_network(model.description, model.values, model.no_gradients(), Precision::bf16);
  const auto loss = [&] { return network->evaluate(some_examples().packed(), some_examples().labels).loss_sum; };
  const double before = loss();
  model.values.mul_(1.1);
  network->values_changed();
  EXPECT_NE(loss(), before);
}

// No device but the CPU is here; this one has shapes and no numbers.
TEST(DeviceNetwork, IsTakenForBuffersThatAreNotOnTheCpu) {
  const auto directory = make_directory("bert");
  Transformer model(Options(transformer_options, {{"path", directory->path().string()}}, "test"));
  const auto buffer = [](std::int64_t size) {
    return at::empty({size}, at::TensorOptions().dtype(at::kFloat).device(at::kMeta));
  };
  for (const Precision precision : {Precision::float32, Precision::bf16})
    EXPECT_NO_THROW(model.bind(buffer(model.layout().size()), buffer(model.layout().trainable_size()), precision));
}

class DroppedOnDevice : public testing::TestWithParam<double> {};
INSTANTIATE_TEST_SUITE_P(Probabilities, DroppedOnDevice, testing::Values(0.1, 0.3, 0.5, 0.9));

TEST_P(DroppedOnDevice, DropsThatShareAndKeepsTheExpectation) {
  constexpr std::int64_t count = 1000003;  // the last word is not used up
  const double p = GetParam(), tolerance = 5.0 * std::sqrt(p * (1.0 - p) / count);
  const at::Tensor dropped = dropped_on_device(at::ones({count}), p, random_key(1, Purpose::dropout));
  const at::Tensor kept = dropped.ne(0.0).to(at::kDouble);
  EXPECT_NEAR(kept.mean().item<double>(), 1.0 - p, tolerance);
  EXPECT_NEAR(dropped.to(at::kDouble).mean().item<double>(), 1.0, tolerance / (1.0 - p) + 1e-4);
  EXPECT_EQ(std::get<0>(at::_unique(dropped)).numel(), 2);
}

// Neither an element's neighbours nor another key tell whether it is dropped.
TEST_P(DroppedOnDevice, ElementsAndKeysAreIndependent) {
  constexpr std::int64_t count = 1000000;
  const double p = GetParam(), variance = p * (1.0 - p), tolerance = 5.0 * variance / std::sqrt(count);
  const RandomKey key = random_key(1, Purpose::dropout);
  const auto centred = [&](RandomKey own) {
    return dropped_on_device(at::ones({count}), p, own).ne(0.0).to(at::kDouble) - (1.0 - p);
  };
  const at::Tensor one = centred(key);
  for (const std::int64_t lag : {1, 2, 3, 4, 16, 1024})
    EXPECT_NEAR((one.slice(0, 0, count - lag) * one.slice(0, lag)).mean().item<double>(), 0.0, tolerance) << lag;
  for (const RandomKey other : {derive(key, 0), derive(key, 1), RandomKey{key.value + 1}})
    EXPECT_NEAR((one * centred(other)).mean().item<double>(), 0.0, tolerance);
}

TEST(DroppedOnDevice, NothingIsDroppedAtZeroAndShapesAndTypesStay) {
  const at::Tensor in = at::ones({3, 5, 7}, at::kBFloat16);
  EXPECT_TRUE(dropped_on_device(in, 0.0, RandomKey{1}).equal(in));
  const at::Tensor out = dropped_on_device(in, 0.5, RandomKey{1});
  EXPECT_EQ(out.sizes(), in.sizes());
  EXPECT_EQ(out.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(out.equal(dropped_on_device(in, 0.5, RandomKey{1})));
}

}  // namespace
}  // namespace fedmpi
