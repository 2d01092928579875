#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace fedmpi {

inline nlohmann::json small_config(const std::string& type) {
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

inline void write_distilbert(TransformerDirectory& directory) {
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

inline void write_bert(TransformerDirectory& directory) {
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

inline std::unique_ptr<TransformerDirectory> make_directory(const std::string& type) {
  auto directory = std::make_unique<TransformerDirectory>(small_config(type));
  type == "bert" ? write_bert(*directory) : write_distilbert(*directory);
  return directory;
}

}  // namespace fedmpi
