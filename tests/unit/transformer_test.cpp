#include "transformer.hpp"

#include "fedmpi/error.hpp"

#include <atomic>
#include <cstring>
#include <fstream>
#include <string>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace fedmpi {
namespace {

nlohmann::json small_config(const std::string& type) {
  if (type == "distilbert") {
    return {{"model_type", type},
            {"vocab_size", 23},
            {"max_position_embeddings", 80},
            {"n_layers", 2},
            {"n_heads", 4},
            {"dim", 16},
            {"hidden_dim", 32},
            {"dropout", 0.3},
            {"attention_dropout", 0.2},
            {"seq_classif_dropout", 0.25},
            {"activation", "gelu"},
            {"initializer_range", 0.3}};
  }
  return {{"model_type", type},
          {"vocab_size", 23},
          {"max_position_embeddings", 80},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 2},
          {"hidden_size", 32},
          {"intermediate_size", 48},
          {"hidden_dropout_prob", 0.1},
          {"attention_probs_dropout_prob", 0.2},
          {"hidden_act", "gelu"},
          {"layer_norm_eps", 1e-12},
          {"type_vocab_size", 2},
          {"initializer_range", 0.3},
          {"position_embedding_type", "absolute"}};
}

// A directory as Hugging Face writes it, with random weights under the names of the encoder alone.
class TransformerDirectory {
 public:
  explicit TransformerDirectory(const nlohmann::json& config) {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string("fedmpi_") + info->name();
    for (char& c : name) c = c == '/' ? '_' : c;
    path_ = std::filesystem::path(testing::TempDir()) / name;
    std::filesystem::create_directories(path_);
    std::ofstream(path_ / "config.json") << config;
  }
  ~TransformerDirectory() { std::filesystem::remove_all(path_); }
  TransformerDirectory(const TransformerDirectory&) = delete;
  TransformerDirectory& operator=(const TransformerDirectory&) = delete;

  void add(const std::string& name, const std::vector<std::int64_t>& shape) {
    RandomStream random(random_key(header_.size(), Purpose::synthetic));
    std::int64_t size = 1;
    for (const std::int64_t axis : shape) size *= axis;
    const std::size_t begin = data_.size() * sizeof(float);
    const bool is_norm_weight = name.find("orm.weight") != std::string::npos;
    for (std::int64_t i = 0; i < size; ++i) {
      data_.push_back(static_cast<float>(0.3 * random.normal()) + (is_norm_weight ? 1.0F : 0.0F));
    }
    header_[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, data_.size() * sizeof(float)}}};
  }
  void write() const {
    const std::string header = header_.dump();
    const std::uint64_t length = header.size();
    std::ofstream file(path_ / "model.safetensors", std::ios::binary);
    file.write(reinterpret_cast<const char*>(&length), sizeof length);
    file << header;
    file.write(reinterpret_cast<const char*>(data_.data()), static_cast<std::streamsize>(data_.size() * sizeof(float)));
  }
  void add_linear(const std::string& name, std::int64_t out, std::int64_t in) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  }
  void add_norm(const std::string& name, std::int64_t width) {
    add(name + ".weight", {width});
    add(name + ".bias", {width});
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  nlohmann::json header_ = nlohmann::json::object();
  std::vector<float> data_;
};

void write_distilbert(TransformerDirectory& directory) {
  directory.add("embeddings.word_embeddings.weight", {23, 16});
  directory.add("embeddings.position_embeddings.weight", {80, 16});
  directory.add_norm("embeddings.LayerNorm", 16);
  for (const std::string at : {"transformer.layer.0.", "transformer.layer.1."}) {
    for (const char* part : {"q_lin", "k_lin", "v_lin", "out_lin"}) {
      directory.add_linear(at + "attention." + part, 16, 16);
    }
    directory.add_norm(at + "sa_layer_norm", 16);
    directory.add_linear(at + "ffn.lin1", 32, 16);
    directory.add_linear(at + "ffn.lin2", 16, 32);
    directory.add_norm(at + "output_layer_norm", 16);
  }
  directory.write();
}

void write_bert(TransformerDirectory& directory) {
  directory.add("bert.embeddings.word_embeddings.weight", {23, 32});
  directory.add("bert.embeddings.position_embeddings.weight", {80, 32});
  directory.add("bert.embeddings.token_type_embeddings.weight", {2, 32});
  directory.add_norm("bert.embeddings.LayerNorm", 32);
  for (const std::string at : {"bert.encoder.layer.0.", "bert.encoder.layer.1."}) {
    for (const char* part : {"query", "key", "value"}) directory.add_linear(at + "attention.self." + part, 32, 32);
    directory.add_linear(at + "attention.output.dense", 32, 32);
    directory.add_norm(at + "attention.output.LayerNorm", 32);
    directory.add_linear(at + "intermediate.dense", 48, 32);
    directory.add_linear(at + "output.dense", 32, 48);
    directory.add_norm(at + "output.LayerNorm", 32);
  }
  directory.add_linear("bert.pooler.dense", 32, 32);
  directory.add_linear("cls.predictions.transform.dense", 32, 32);
  directory.write();
}

std::unique_ptr<TransformerDirectory> make_directory(const std::string& type) {
  auto directory = std::make_unique<TransformerDirectory>(small_config(type));
  type == "bert" ? write_bert(*directory) : write_distilbert(*directory);
  return directory;
}

// A model with its buffers.
struct Bound {
  Bound(const std::filesystem::path& path, const std::string& pooling, Precision precision, double head_rate = 0.0)
      : model(Options(transformer_options,
                      {{"path", path.string()}, {"pooling", pooling}, {"head_learning_rate", head_rate}}, "test")),
        values(at::zeros({model.layout().size()})),
        gradients(at::zeros({model.layout().trainable_size()})) {
    model.initialize(values, random_key(5, Purpose::initialise));
    model.bind(values, gradients, precision);
  }
  double loss(const Batch& batch) {
    model.values_changed();
    gradients.zero_();
    return model.fit(batch, random_key(6, Purpose::dropout)).loss_sum / static_cast<double>(batch.labels.numel());
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
      evaluated[i] = bound.model.evaluate(batch).loss_sum;
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
  bound.model.evaluate(make_batch({12, 5, 66}));
  const float together = bound.model.logits()[0][1].item<float>();
  bound.model.evaluate(make_batch({12}));
  EXPECT_NEAR(bound.model.logits()[0][1].item<float>(), together, 1e-5);
}

TEST(Transformer, NewHeadsHaveTheirOwnLearningRate) {
  const auto bert = make_directory("bert");
  const Bound with_pooler(bert->path(), "head", Precision::float32, 1e-3);
  const Layout& layout = with_pooler.model.layout();
  EXPECT_EQ(layout.spec(*layout.find("classifier.weight")).learning_rate, 1e-3);
  EXPECT_EQ(layout.spec(*layout.find("bert.pooler.dense.weight")).learning_rate, std::nullopt);
  const auto distilbert = make_directory("distilbert");
  const Bound without(distilbert->path(), "head", Precision::float32, 1e-3);
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
  EXPECT_NE(message([&] { bound.model.evaluate(batch); }).find("an example has 81 tokens"), std::string::npos);
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
