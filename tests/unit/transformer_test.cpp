#include "transformer.hpp"

#include "fedmpi/error.hpp"
#include "transformer_files.hpp"

#include <atomic>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

using Roles = std::function<TensorRole(const TensorSpec&)>;

// A model with its buffers.
struct Bound {
  Bound(const std::filesystem::path& path, const std::string& pooling, Precision precision,
        std::map<std::string, OptionValue> more = {}, const Roles& roles = own_role)
      : model(Options(transformer_options, with(std::move(more), path, pooling), "test")),
        values(at::zeros({with_roles(roles).size()})),
        gradients(at::zeros({model.layout().trainable_size()})) {
    model.initialize(values, random_key(5, Purpose::initialise));
    model.bind(values, gradients, precision);
  }
  static std::map<std::string, OptionValue> with(std::map<std::string, OptionValue> more,
                                                 const std::filesystem::path& path, const std::string& pooling) {
    more.insert({{"path", path.string()}, {"pooling", pooling}});
    return more;
  }
  static TensorRole own_role(const TensorSpec& spec) { return spec.role; }
  const Layout& with_roles(const Roles& roles) {
    model.set_layout(model.layout().with_roles(roles));
    return model.layout();
  }
  double loss(const Batch& batch) {
    model.values_changed();
    return model.fit(batch, random_key(6, Purpose::dropout)).loss_sum / static_cast<double>(batch.labels.numel());
  }
  double evaluated_loss(const Batch& batch) {
    return model.evaluate(batch, at::empty({batch.labels.numel()}, at::kLong)).loss_sum;
  }
  std::vector<float> bits() const {
    return {gradients.const_data_ptr<float>(), gradients.const_data_ptr<float>() + gradients.numel()};
  }

  Transformer model;
  at::Tensor values, gradients;
};

Batch make_batch(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> offsets{0}, labels;
  RandomStream random(random_key(9, Purpose::synthetic));
  for (const std::int64_t length : lengths) {
    for (std::int64_t i = 0; i < length; ++i) tokens.push_back(static_cast<std::int32_t>(random.below(23)));
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
    labels.push_back(length % 2);
  }
  return {at::tensor(tokens, at::kInt), at::tensor(offsets, at::kLong), {}, at::tensor(labels, at::kLong)};
}

struct Case {
  const char* type;
  const char* pooling;
};
class TransformerOf : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(All, TransformerOf,
                         testing::Values(Case{"distilbert", "head"}, Case{"distilbert", "mean"}, Case{"bert", "head"},
                                         Case{"bert", "mean"}),
                         [](const auto& of) { return std::string(of.param.type) + "_" + of.param.pooling; });

// With dropout on: the masks of forward and backward must be the same.
TEST_P(TransformerOf, GradientIsTheSlopeOfTheLoss) {
  const auto directory = make_directory(GetParam().type);
  Bound bound(directory->path(), GetParam().pooling, Precision::float32);
  const Batch batch = make_batch({5, 1, 67, 12});
  bound.loss(batch);
  const std::vector<float> gradient = bound.bits();
  // Along the gradient of each tensor, so that one difference tests all its elements.
  const Layout& layout = bound.model.layout();
  const at::Tensor start = bound.values.clone();
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    const auto begin = static_cast<std::size_t>(layout.offset(i));
    const auto size = static_cast<std::size_t>(layout.num_elements(i));
    double square = 0.0;
    for (std::size_t j = begin; j < begin + size; ++j) square += static_cast<double>(gradient[j]) * gradient[j];
    const double norm = std::sqrt(square), step = 2e-3;
    double losses[2];
    for (const int side : {0, 1}) {
      bound.values.copy_(start);
      float* values = bound.values.mutable_data_ptr<float>();
      for (std::size_t j = begin; j < begin + size && norm > 0.0; ++j) {
        values[j] += static_cast<float>((side == 0 ? -step : step) * gradient[j] / norm);
      }
      losses[side] = bound.loss(batch);
    }
    EXPECT_NEAR((losses[1] - losses[0]) / (2.0 * step), norm, 0.01 * norm + 2e-4) << layout.spec(i).name;
  }
}

// Compiled without OpenMP, at::parallel_for takes all of it to one thread.
TEST(Transformer, WorkIsSpreadOverThreads) {
  const int threads_before = at::get_num_threads();
  at::set_num_threads(2);
  std::atomic<int> shares = 0;
  for_each_block(4 * block_rows,
                 [&](std::int64_t, std::int64_t, std::int64_t) { shares |= 1 << at::get_thread_num(); });
  at::set_num_threads(threads_before);
  EXPECT_EQ(shares, 3);
}

TEST_P(TransformerOf, ThreadsDoNotChangeABit) {
  const auto directory = make_directory(GetParam().type);
  const Batch batch = make_batch({40, 3, 80, 77, 1, 64, 30, 80, 80, 80, 80});
  const int threads_before = at::get_num_threads();
  for (const Precision precision : {Precision::float32, Precision::bf16}) {
    Bound bound(directory->path(), GetParam().pooling, precision);
    std::vector<float> gradients[3];
    double losses[3], evaluated[3];
    for (const int i : {0, 1, 2}) {
      at::set_num_threads(i + 1);
      losses[i] = bound.loss(batch);
      gradients[i] = bound.bits();
      evaluated[i] = bound.evaluated_loss(batch);
    }
    for (const int i : {1, 2}) {
      EXPECT_EQ(losses[0], losses[i]);
      EXPECT_EQ(evaluated[0], evaluated[i]);
      EXPECT_EQ(std::memcmp(gradients[0].data(), gradients[i].data(), gradients[0].size() * sizeof(float)), 0);
    }
  }
  at::set_num_threads(threads_before);
}

// What was computed before (larger workspaces, other words in them) must not show.
TEST_P(TransformerOf, HistoryDoesNotChangeABit) {
  const auto directory = make_directory(GetParam().type);
  const Batch batch = make_batch({9, 2, 33});
  for (const Precision precision : {Precision::float32, Precision::bf16}) {
    Bound bound(directory->path(), GetParam().pooling, precision);
    const double before = bound.loss(batch);
    const std::vector<float> gradients = bound.bits();
    bound.loss(make_batch({80, 80, 17, 80, 64}));
    EXPECT_EQ(bound.loss(batch), before);
    EXPECT_EQ(bound.bits(), gradients);
  }
}

TEST_P(TransformerOf, Bf16IsNearFloat32) {
  const auto directory = make_directory(GetParam().type);
  const Batch batch = make_batch({40, 3, 70, 12});
  Bound exact(directory->path(), GetParam().pooling, Precision::float32);
  Bound rounded(directory->path(), GetParam().pooling, Precision::bf16);
  EXPECT_NEAR(exact.loss(batch), rounded.loss(batch), 0.05);
  const double difference = (exact.gradients - rounded.gradients).norm().item<double>();
  EXPECT_LT(difference, 0.05 * exact.gradients.norm().item<double>());
  EXPECT_GT(difference, 0.0);
}

TEST_P(TransformerOf, ExamplesDoNotSeeEachOther) {
  const auto directory = make_directory(GetParam().type);
  Bound bound(directory->path(), GetParam().pooling, Precision::float32);
  bound.evaluated_loss(make_batch({12, 5, 66}));
  const float together = bound.model.logits()[0][1].item<float>();
  bound.evaluated_loss(make_batch({12}));
  EXPECT_NEAR(bound.model.logits()[0][1].item<float>(), together, 1e-5);
}

// So many tokens that they are fitted in parts.
TEST_P(TransformerOf, ALargeBatchHasTheMeanGradientOfSmallOnes) {
  const auto directory = make_directory(GetParam().type);
  const std::map<std::string, OptionValue> no_dropout{
      {"dropout", 0.0}, {"attention_dropout", 0.0}, {"classifier_dropout", 0.0}};
  Bound large(directory->path(), GetParam().pooling, Precision::float32, no_dropout);
  Bound small(directory->path(), GetParam().pooling, Precision::float32, no_dropout);
  const std::vector<std::int64_t> lengths{80, 71, 80, 77};
  const std::int64_t repeats = 2 * (std::int64_t{1} << 22) / (4 * 308 * (GetParam().type[0] == 'b' ? 32 : 16));
  std::vector<std::int64_t> many;
  for (std::int64_t i = 0; i < repeats; ++i) many.insert(many.end(), lengths.begin(), lengths.end());
  const Batch batch = make_batch(many);
  const double loss = large.loss(batch);
  double sum = 0.0;
  at::Tensor gradients = at::zeros_like(small.gradients, at::kDouble);
  const std::int64_t examples = batch.labels.numel(), size = examples / 10;
  for (std::int64_t first = 0; first < examples; first += size) {
    const std::int64_t count = std::min(size, examples - first);
    const at::Tensor offsets = batch.offsets.narrow(0, first, count + 1);
    const std::int64_t begin = offsets[0].item<std::int64_t>(), end = offsets[count].item<std::int64_t>();
    const double share = static_cast<double>(count) / static_cast<double>(examples);
    sum += share *
           small.loss(
               {batch.tokens.narrow(0, begin, end - begin), offsets - begin, {}, batch.labels.narrow(0, first, count)});
    gradients += share * small.gradients.to(at::kDouble);
  }
  EXPECT_NEAR(loss, sum, 1e-6);
  const double difference = (large.gradients.to(at::kDouble) - gradients).norm().item<double>();
  EXPECT_LT(difference, 1e-5 * gradients.norm().item<double>());
}

// What is trained gets the gradient it would get beside everything else, to the bit.
TEST_P(TransformerOf, FrozenLayersDoNotChangeTheOthersGradients) {
  const auto directory = make_directory(GetParam().type);
  const Batch batch = make_batch({40, 3, 70, 12});
  for (const Precision precision : {Precision::float32, Precision::bf16}) {
    Bound whole(directory->path(), GetParam().pooling, precision);
    const double loss = whole.loss(batch);
    const Layout& all = whole.model.layout();
    std::int64_t trainable_size = all.trainable_size();
    for (const std::int64_t train_layers : {2, 1, 0}) {
      Bound part(directory->path(), GetParam().pooling, precision, {{"train_layers", train_layers}});
      const Layout& layout = part.model.layout();
      EXPECT_LT(layout.trainable_size(), trainable_size);
      trainable_size = layout.trainable_size();
      EXPECT_EQ(part.loss(batch), loss) << train_layers;
      for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
        const std::size_t same = *all.find(layout.spec(i).name);
        EXPECT_TRUE(layout.view(part.values, i).equal(all.view(whole.values, same))) << layout.spec(i).name;
        if (layout.spec(i).role == TensorRole::frozen) continue;
        EXPECT_TRUE(layout.view(part.gradients, i).equal(all.view(whole.gradients, same))) << layout.spec(i).name;
      }
      EXPECT_EQ(part.evaluated_loss(batch), whole.evaluated_loss(batch));
    }
    EXPECT_LT(trainable_size, 2200);  // a head alone
  }
}

TEST_P(TransformerOf, RolesDoNotChangeTheGradients) {
  const auto directory = make_directory(GetParam().type);
  const Batch batch = make_batch({40, 3, 70, 12});
  const auto trained_where = [](const auto& condition) {
    return [=](const TensorSpec& spec) { return condition(spec) ? TensorRole::shared : TensorRole::frozen; };
  };
  const std::vector<Roles> choices{
      [](const TensorSpec& s) { return s.kind == TensorKind::normalization ? TensorRole::local : s.role; },
      [](const TensorSpec& s) { return s.kind == TensorKind::head ? TensorRole::local : s.role; },
      [](const TensorSpec& s) { return s.name == "classifier.weight" ? TensorRole::frozen : s.role; },
      trained_where([](const TensorSpec& s) { return s.kind == TensorKind::head; }),
      trained_where([](const TensorSpec& s) { return s.kind == TensorKind::normalization; }),
      trained_where([](const TensorSpec& s) { return s.name.ends_with(".bias"); }),
      trained_where([](const TensorSpec& s) { return s.name.find("layer.0.") != std::string::npos; }),
      trained_where([](const TensorSpec& s) { return s.name.ends_with("position_embeddings.weight"); }),
  };
  for (const Precision precision : {Precision::float32, Precision::bf16}) {
    Bound whole(directory->path(), GetParam().pooling, precision);
    const double loss = whole.loss(batch);
    for (std::size_t choice = 0; choice < choices.size(); ++choice) {
      SCOPED_TRACE(choice);
      Bound part(directory->path(), GetParam().pooling, precision, {}, choices[choice]);
      const Layout &all = whole.model.layout(), &layout = part.model.layout();
      EXPECT_EQ(part.loss(batch), loss);
      std::size_t num_trained = 0;
      for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
        EXPECT_TRUE(layout.view(part.values, i).equal(all.view(whole.values, i))) << layout.spec(i).name;
        if (!layout.has_gradient(i)) continue;
        ++num_trained;
        EXPECT_TRUE(layout.view(part.gradients, i).equal(all.view(whole.gradients, i))) << layout.spec(i).name;
      }
      EXPECT_GT(num_trained, 0U);
      EXPECT_EQ(part.evaluated_loss(batch), whole.evaluated_loss(batch));
    }
  }
}

TEST(Transformer, QueryKeyAndValueHaveOneRole) {
  const auto directory = make_directory("bert");
  const Roles values_frozen = [](const TensorSpec& spec) {
    return spec.name.ends_with("self.value.weight") ? TensorRole::frozen : spec.role;
  };
  EXPECT_THROW(Bound(directory->path(), "head", Precision::float32, {}, values_frozen), UserError);
}

// But for the first fit: the engine changes no frozen tensor once it has begun to train.
TEST_P(TransformerOf, ChangedValuesAreSeen) {
  const auto directory = make_directory(GetParam().type);
  const Batch batch = make_batch({40, 3});
  Bound bound(directory->path(), GetParam().pooling, Precision::bf16, {{"train_layers", std::int64_t{1}}});
  const Layout& layout = bound.model.layout();
  const auto change = [&](bool trained) {
    for (std::size_t i = 0; i < layout.num_tensors(); ++i)
      if (layout.has_gradient(i) == trained && layout.spec(i).shape.size() == 2) layout.view(bound.values, i).mul_(1.1);
    bound.model.values_changed();
  };
  const double before = bound.evaluated_loss(batch);
  change(false);
  const double after = bound.evaluated_loss(batch);
  EXPECT_NE(after, before);
  bound.loss(batch);
  change(true);
  EXPECT_NE(bound.evaluated_loss(batch), after);
}

TEST(Transformer, RefusesToTrainMoreLayersThanThereAre) {
  const auto directory = make_directory("bert");
  EXPECT_THROW(Bound(directory->path(), "head", Precision::float32, {{"train_layers", std::int64_t{3}}}), UserError);
}

TEST(Transformer, NewHeadsHaveTheirOwnLearningRate) {
  const auto bert = make_directory("bert");
  const Bound with_pooler(bert->path(), "head", Precision::float32, {{"head_learning_rate", 1e-3}});
  const Layout& layout = with_pooler.model.layout();
  EXPECT_EQ(layout.spec(*layout.find("classifier.weight")).learning_rate, 1e-3);
  EXPECT_EQ(layout.spec(*layout.find("bert.pooler.dense.weight")).learning_rate, std::nullopt);
  const auto distilbert = make_directory("distilbert");
  const Bound without(distilbert->path(), "head", Precision::float32, {{"head_learning_rate", 1e-3}});
  const Layout& other = without.model.layout();
  EXPECT_EQ(other.spec(*other.find("pre_classifier.weight")).learning_rate, 1e-3);
  EXPECT_EQ(other.spec(*other.find("distilbert.embeddings.LayerNorm.bias")).learning_rate, std::nullopt);
}

TEST(Transformer, NewHeadsAreNormalWithZeroBias) {
  const auto directory = make_directory("distilbert");
  const Bound bound(directory->path(), "head", Precision::float32);
  const Layout& layout = bound.model.layout();
  const at::Tensor weight = layout.view(bound.values, *layout.find("pre_classifier.weight"));
  EXPECT_NEAR(weight.std().item<double>(), 0.3, 0.05);
  EXPECT_EQ(layout.view(bound.values, *layout.find("pre_classifier.bias")).abs().max().item<float>(), 0.0F);
}

template <class Work>
std::string message(const Work& work) {
  try {
    work();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Transformer, NamesWhatIsWrongWithABatch) {
  const auto directory = make_directory("bert");
  Bound bound(directory->path(), "head", Precision::float32);
  Batch batch = make_batch({4, 2});
  batch.tokens[1] = 23;
  EXPECT_NE(message([&] { bound.model.fit(batch, {}); }).find("token 23 "), std::string::npos);
  batch = make_batch({4, 81});
  EXPECT_NE(message([&] { bound.evaluated_loss(batch); }).find("an example has 81 tokens"), std::string::npos);
  batch = make_batch({4, 2});
  batch.labels[0] = 2;
  EXPECT_NE(message([&] { bound.model.fit(batch, {}); }).find("label 2"), std::string::npos);
}

TEST(Transformer, NamesAMissingTensor) {
  TransformerDirectory directory(small_config("distilbert"));
  directory.add("embeddings.word_embeddings.weight", {23, 16});
  directory.write();
  EXPECT_NE(message([&] {
              Bound bound(directory.path(), "head", Precision::float32);
            }).find("lacks tensor 'distilbert.embeddings.position_embeddings.weight'"),
            std::string::npos);
}

TEST(Transformer, RefusesToLeaveLayersOut) {
  nlohmann::json config = small_config("distilbert");
  config["n_layers"] = 1;
  TransformerDirectory directory(config);
  write_distilbert(directory);
  EXPECT_NE(message([&] {
              Bound bound(directory.path(), "head", Precision::float32);
            }).find("but config.json says that the model has 1 layers"),
            std::string::npos);
}

TEST(Transformer, NamesWhatIsWrongInAConfiguration) {
  const auto refusal = [](const std::string& type, const std::string& key, const nlohmann::json& value) {
    nlohmann::json config = small_config(type);
    config[key] = value;
    const TransformerDirectory directory(config);
    return message([&] { read_transformer_config(directory.path() / "config.json"); });
  };
  EXPECT_EQ(refusal("bert", "unused", 1), "no error");
  EXPECT_NE(refusal("bert", "hidden_act", "relu").find("'hidden_act' is 'relu'"), std::string::npos);
  EXPECT_NE(refusal("distilbert", "activation", "gelu_new").find("'activation' is 'gelu_new'"), std::string::npos);
  EXPECT_NE(refusal("bert", "position_embedding_type", "relative_key").find("'absolute'"), std::string::npos);
  EXPECT_NE(refusal("bert", "is_decoder", true).find("only encoders are supported"), std::string::npos);
  EXPECT_NE(refusal("bert", "num_attention_heads", 3).find("not an even multiple of the 3 heads"), std::string::npos);
  EXPECT_NE(refusal("bert", "hidden_size", 40).find("multiples of 16"), std::string::npos);
  EXPECT_NE(refusal("bert", "hidden_size", -16).find("'hidden_size' must be between"), std::string::npos);
  EXPECT_NE(refusal("bert", "vocab_size", UINT64_MAX).find("'vocab_size' must be between"), std::string::npos);
  EXPECT_NE(refusal("bert", "vocab_size", "many").find("'vocab_size' must be an integer"), std::string::npos);
  EXPECT_NE(refusal("bert", "vocab_size", nullptr).find("'vocab_size' is missing"), std::string::npos);
  EXPECT_NE(refusal("bert", "hidden_dropout_prob", 1.0).find("'hidden_dropout_prob' must be"), std::string::npos);
  EXPECT_NE(refusal("bert", "model_type", "roberta").find("'roberta'"), std::string::npos);
}

}  // namespace
}  // namespace fedmpi
