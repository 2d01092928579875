// What models write for other programs; those programs themselves are in tests/e2e/export.py.
#include "fedmpi/checkpoint.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/safetensors_writer.hpp"
#include "fedmpi/trained_model.hpp"
#include "hugging_face.hpp"
#include "loaded_model.hpp"
#include "safetensors.hpp"
#include "temporary_directory.hpp"
#include "transformer.hpp"
#include "transformer_files.hpp"

#include <cstring>
#include <fstream>
#include <map>
#include <string>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

using Given = std::map<std::string, OptionValue>;

at::Tensor random_values(std::vector<std::int64_t> shape, std::uint64_t seed) {
  at::Tensor values = at::empty(shape);
  RandomStream random(random_key(seed, Purpose::synthetic));
  for (std::int64_t i = 0; i < values.numel(); ++i)
    values.data_ptr<float>()[i] = static_cast<float>(0.3 * random.normal());
  return values;
}

class Export : public testing::Test {
 protected:
  TemporaryDirectory directory_;
};

TEST_F(Export, ASafetensorsFileIsReadAgain) {
  const at::Tensor whole = random_values({7, 5}, 1);
  const std::vector<NamedTensor> tensors{
      {"b", whole}, {"a.weight", whole.narrow(1, 1, 3)}, {"empty", at::zeros({0, 4})}, {"é \"quoted\"", at::ones({})}};
  write_safetensors(directory_ / "x.safetensors", tensors);
  const SafetensorsFile file(directory_ / "x.safetensors");
  for (const auto& [name, tensor] : tensors) {
    at::Tensor read = at::empty(tensor.sizes());
    file.read(name, tensor.sizes().vec(), read.data_ptr<float>());
    EXPECT_TRUE(read.equal(tensor)) << name;
  }
  const std::string bytes = read_bytes(directory_ / "x.safetensors");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  EXPECT_EQ(length % 8, 0U) << "numbers are where a mapped file has them aligned";
  EXPECT_EQ(bytes.size(), 8 + length + (35 + 21 + 0 + 1) * sizeof(float));
}

TEST_F(Export, ASafetensorsFileCannotHoldEveryName) {
  const at::Tensor one = at::ones({1});
  for (const std::vector<NamedTensor>& tensors :
       {std::vector<NamedTensor>{{"a", one}, {"a", one}}, std::vector<NamedTensor>{{"__metadata__", one}}}) {
    EXPECT_THROW(write_safetensors(directory_ / "x.safetensors", tensors), UserError);
    EXPECT_FALSE(std::filesystem::exists(directory_ / "x.safetensors"));
  }
  EXPECT_THROW(write_safetensors(directory_ / "nowhere" / "x.safetensors", std::vector<NamedTensor>{{"a", one}}),
               Error);
}

TEST_F(Export, AdaptersAreAddedToTheirMatrices) {
  const Layout layout({{"a.weight", {4, 3}, TensorRole::frozen},
                       {"a.bias", {4}, TensorRole::frozen},
                       {"a.lora_A.weight", {2, 3}},
                       {"a.lora_B.weight", {4, 2}},
                       {"b.weight", {2, 2}}});
  const at::Tensor values = random_values({layout.size()}, 2);
  const auto tensors = merged_tensors(layout, values, 3.0);
  ASSERT_EQ(tensors.size(), 3U);
  const auto value = [&](const char* name) { return layout.view(values, *layout.find(name)); };
  for (int row = 0; row < 4; ++row) {
    for (int column = 0; column < 3; ++column) {
      double expected = value("a.weight")[row][column].item<double>();
      for (int i = 0; i < 2; ++i)
        expected +=
            1.5 * value("a.lora_B.weight")[row][i].item<double>() * value("a.lora_A.weight")[i][column].item<double>();
      EXPECT_FLOAT_EQ(tensors[0].tensor[row][column].item<float>(), static_cast<float>(expected));
    }
  }
  EXPECT_TRUE(tensors[1].tensor.equal(value("a.bias")));
  EXPECT_TRUE(tensors[2].tensor.equal(value("b.weight")));
}

TEST_F(Export, LowerCasingIsTheSourcesOrTheVocabularys) {
  const TransformerConfig config;
  const auto lower_cases = [&](const std::string& vocabulary) {
    return nlohmann::json::parse(tokenizer_config(directory_.path(), config, vocabulary))["do_lower_case"].get<bool>();
  };
  EXPECT_TRUE(lower_cases("[UNK]\n[CLS]\nthe\n##s\n\xC3\x89\n"));
  EXPECT_FALSE(lower_cases("[UNK]\n[CLS]\nThe\n"));
  EXPECT_FALSE(lower_cases("[UNK]\n##S\n"));
  write_bytes(directory_ / "tokenizer_config.json", R"({"do_lower_case": false})");
  EXPECT_FALSE(lower_cases("the\n"));
  write_bytes(directory_ / "tokenizer_config.json", R"({"do_lower_case": true})");
  EXPECT_TRUE(lower_cases("The\n"));
  write_bytes(directory_ / "tokenizer_config.json", "{}");
  EXPECT_FALSE(lower_cases("The\n"));
  for (const char* wrong : {R"({"do_lower_case": 1})", "[", "[]"}) {
    write_bytes(directory_ / "tokenizer_config.json", wrong);
    EXPECT_THROW(lower_cases("the\n"), FileError) << wrong;
  }
}

TEST_F(Export, OneLabelIsARegression) {
  write_bytes(directory_ / "config.json",
              R"({"model_type": "bert", "num_labels": 7, "id2label": {"0": "CAT", "1": "DOG"}})");
  const auto config = nlohmann::json::parse(classifier_config(directory_.path(), {}, Pooling::head, 1, {}));
  EXPECT_EQ(config["problem_type"], "regression");
  EXPECT_EQ(config["id2label"], nlohmann::json({{"0", "LABEL_0"}}));
  EXPECT_FALSE(config.contains("num_labels"));
}

TEST_F(Export, LabelsHaveTheDatasetsNames) {
  write_bytes(directory_ / "config.json", R"({"model_type": "bert", "label2id": {"CAT": 0}})");
  const std::vector<std::string> names{"ham", "spam \"x\""};
  const auto config = nlohmann::json::parse(classifier_config(directory_.path(), {}, Pooling::head, 3, names));
  EXPECT_EQ(config["id2label"], nlohmann::json({{"0", "ham"}, {"1", "spam \"x\""}, {"2", "LABEL_2"}}));
  EXPECT_EQ(config["label2id"], nlohmann::json({{"ham", 0}, {"spam \"x\"", 1}, {"LABEL_2", 2}}));
}

class TransformerExport : public testing::TestWithParam<std::pair<std::string, std::string>> {
 protected:
  TransformerExport() : source_{make_directory(GetParam().first)} {
    write_bytes(source_->path() / "vocab.txt", "[PAD]\n[UNK]\n");
  }
  Options options(const std::filesystem::path& path, Given more) const {
    more["path"] = path.string();
    return Options(transformer_options, std::move(more), "test");
  }
  std::unique_ptr<TransformerDirectory> source_;
  TemporaryDirectory out_;
};

TEST_P(TransformerExport, IsAModelOfTheSameLogits) {
  const auto [family, pooling] = GetParam();
  Transformer model(
      options(source_->path(), {{"pooling", pooling}, {"lora_rank", std::int64_t{3}}, {"lora_alpha", 2.5}}));
  const at::Tensor values = random_values({model.layout().size()}, 3);
  const auto files = model.export_to(out_.path(), values, {});
  EXPECT_EQ(files.back(), "config.json");
  Transformer exported(options(out_.path(), {{"pooling", pooling}}));
  at::Tensor merged = at::zeros({exported.layout().size()});
  exported.initialize(merged, random_key(1, Purpose::initialise));
  const at::Tensor gradients = at::zeros({exported.layout().trainable_size()});
  model.bind(values, gradients, Precision::float32);
  exported.bind(merged, gradients, Precision::float32);
  const Batch batch{at::tensor({2, 5, 7, 1, 3, 3, 22}, at::kInt),
                    at::tensor({0, 3, 7}, at::kLong),
                    {},
                    at::tensor({1, 0}, at::kLong)};
  const at::Tensor predictions = at::empty({2}, at::kLong);
  EXPECT_NEAR(model.evaluate(batch, predictions).loss_sum, exported.evaluate(batch, predictions).loss_sum, 1e-5);
  EXPECT_TRUE(at::allclose(model.logits(), exported.logits(), 1e-5, 1e-5));
  EXPECT_EQ(exported.vocabulary_digest(), model.vocabulary_digest());
}

TEST_P(TransformerExport, NeedsTheVocabulary) {
  std::filesystem::remove(source_->path() / "vocab.txt");
  const Transformer model(options(source_->path(), {}));
  const at::Tensor values = at::zeros({model.layout().size()});
  EXPECT_NE(refusal([&] { model.export_to(out_.path(), values, {}); }).find("vocab.txt is not there"),
            std::string::npos);
}
INSTANTIATE_TEST_SUITE_P(Families, TransformerExport,
                         testing::Values(std::pair("bert", "head"), std::pair("bert", "mean"),
                                         std::pair("distilbert", "head"), std::pair("distilbert", "mean")));

// A checkpoint of the model 'mlp' with two hidden units.
class Trained : public Export {
 protected:
  static constexpr const char* job = R"([run]
name = "made_up"
rounds = 1
[federation]
clients = 2
[model]
name = "mlp"
num_features = 3
hidden = [2]
[data]
name = "synthetic"
[training]
learning_rate = 0.1
)";
  void save(const std::function<TensorRole(const TensorSpec&)>& role_of) {
    const LoadedModel model("mlp", {{"num_features", std::int64_t{3}}, {"hidden", std::vector<std::int64_t>{2}}});
    std::vector<TensorSpec> specs;
    for (std::size_t i = 0; i < model.model->layout().num_tensors(); ++i) {
      specs.push_back(model.model->layout().spec(i));
      specs.back().role = role_of(specs.back());
    }
    checkpoint_.layout = Layout(specs);
    checkpoint_.parameters = random_values({checkpoint_.layout.size()}, 4);
    checkpoint_.job = job;
    save_checkpoint(directory_ / "round_0001.h5", checkpoint_);
  }
  TrainedModel load(const std::vector<std::string>& settings = {}) {
    const std::vector<std::filesystem::path> built{FEDMPI_BUILT_PLUGINS};
    return load_trained_model(directory_ / "round_0001.h5", settings, built);
  }
  Checkpoint checkpoint_;
};

TEST_F(Trained, HasTheRolesOfTheCheckpoint) {
  save([](const TensorSpec& tensor) { return tensor.name == "layers.0.weight" ? TensorRole::local : tensor.role; });
  const TrainedModel trained = load();
  const Layout& layout = trained.model->layout();
  EXPECT_EQ(layout.spec(*layout.find("layers.0.weight")).role, TensorRole::local);
  std::filesystem::create_directory(directory_ / "out");
  ASSERT_EQ(trained.model->export_to(directory_ / "out", trained.checkpoint.parameters, {}),
            std::vector<std::string>{"model.safetensors"});
  const SafetensorsFile file(directory_ / "out" / "model.safetensors");
  at::Tensor read = at::empty({2, 3});
  file.read("layers.0.weight", {2, 3}, read.data_ptr<float>());
  EXPECT_TRUE(read.equal(checkpoint_.layout.view(checkpoint_.parameters, *checkpoint_.layout.find("layers.0.weight"))));
}

TEST_F(Trained, IsOfTheCheckpointsModel) {
  save([](const TensorSpec& tensor) { return tensor.role; });
  EXPECT_NE(refusal([&] { load({"model.hidden=[3]"}); }).find("holds other tensors"), std::string::npos);
  EXPECT_NE(refusal([&] { load({"run.rounds=3"}); }).find("set keys of [model]"), std::string::npos);
  checkpoint_.model_digest = "beef";
  save_checkpoint(directory_ / "round_0001.h5", checkpoint_);
  EXPECT_NE(refusal([&] { load(); }).find("other files of the model 'mlp'"), std::string::npos);
}

TEST_F(Trained, RefusesRolesThatCannotBe) {
  save([](const TensorSpec& tensor) { return tensor.name == "layers.1.bias" ? TensorRole::statistic : tensor.role; });
  EXPECT_NE(refusal([&] { load(); }).find("holds other tensors"), std::string::npos);
}

}  // namespace
}  // namespace fedmpi
