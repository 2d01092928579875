#pragma once

#include <cstdint>
#include <filesystem>

#include <nlohmann/json_fwd.hpp>

namespace fedmpi {

// What a Hugging Face config.json says of a DistilBERT or BERT encoder.
struct TransformerConfig {
  enum class Family { distilbert, bert };
  Family family = Family::bert;
  std::int64_t vocabulary_size = 0;
  std::int64_t max_positions = 0;
  std::int64_t num_token_types = 0;  // 0: none (distilbert)
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t width = 0;
  std::int64_t inner_width = 0;  // of the feed-forward part
  double epsilon = 1e-12;        // of the layer norms
  double dropout = 0.0;
  double attention_dropout = 0.0;
  double classifier_dropout = 0.0;
  double initializer_range = 0.02;

  std::int64_t head_width() const { return width / num_heads; }
};

// Throws FileError, naming the key, for a file that is missing, not JSON, or asks for what the model does not do.
TransformerConfig read_transformer_config(const std::filesystem::path& path);

// The JSON object in a file of at most 1 MiB. FileError where there is none.
nlohmann::ordered_json read_json_object(const std::filesystem::path& path);

}  // namespace fedmpi
