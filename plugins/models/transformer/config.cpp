#include "config.hpp"

#include "fedmpi/error.hpp"

#include <fstream>
#include <iterator>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fedmpi {
namespace {

constexpr std::streamsize max_config_bytes = 1 << 20;

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FileError(fmt::format("{} cannot be opened", path.string()), path);
  std::string text(static_cast<std::size_t>(max_config_bytes) + 1, '\0');
  file.read(text.data(), max_config_bytes + 1);
  if (file.bad()) throw FileError(fmt::format("{} cannot be read", path.string()), path);
  if (file.gcount() > max_config_bytes) {
    throw FileError(fmt::format("{} is larger than 1 MiB, too large for a configuration", path.string()), path);
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

// The keys of one config.json; every complaint names the file and the key.
class ConfigFile {
 public:
  explicit ConfigFile(const std::filesystem::path& path) : path_{path}, json_(read_json_object(path)) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw FileError(fmt::format("{}: {}", path_.string(), what), path_);
  }

  std::int64_t integer(const char* key, std::int64_t least, std::int64_t most) const {
    const auto& value = at(key);
    if (!value.is_number_integer()) fail(fmt::format("'{}' must be an integer", key));
    const bool too_large = value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(most);
    if (too_large || value.get<std::int64_t>() < least || value.get<std::int64_t>() > most) {
      fail(fmt::format("'{}' must be between {} and {}", key, least, most));
    }
    return value.get<std::int64_t>();
  }

  double number(const char* key, double least, double most) const {
    const auto& value = at(key);
    if (!value.is_number()) fail(fmt::format("'{}' must be a number", key));
    const double number = value.get<double>();
    if (!(number >= least && number <= most)) fail(fmt::format("'{}' must be between {} and {}", key, least, most));
    return number;
  }
  double number_or(const char* key, double otherwise, double least, double most) const {
    return has(key) ? number(key, least, most) : otherwise;
  }

  std::string text(const char* key) const {
    const auto& value = at(key);
    if (!value.is_string()) fail(fmt::format("'{}' must be a string", key));
    return value.get<std::string>();
  }

  bool is_set(const char* key) const { return has(key) && json_[key] != false; }
  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

 private:
  const nlohmann::ordered_json& at(const char* key) const {
    if (!has(key)) fail(fmt::format("'{}' is missing", key));
    return json_[key];
  }

  std::filesystem::path path_;
  nlohmann::ordered_json json_;
};

constexpr std::int64_t max_width = 1 << 14;
constexpr double max_dropout = 0.99;

void require_gelu(const ConfigFile& file, const char* key) {
  if (file.text(key) != "gelu") {
    file.fail(fmt::format("'{}' is '{}', but only 'gelu' is supported", key, file.text(key)));
  }
}

void read_distilbert(const ConfigFile& file, TransformerConfig& config) {
  config.family = TransformerConfig::Family::distilbert;
  config.num_layers = file.integer("n_layers", 1, 512);
  config.num_heads = file.integer("n_heads", 1, 1024);
  config.width = file.integer("dim", 1, max_width);
  config.inner_width = file.integer("hidden_dim", 1, 4 * max_width);
  config.dropout = file.number("dropout", 0.0, max_dropout);
  config.attention_dropout = file.number("attention_dropout", 0.0, max_dropout);
  config.classifier_dropout = file.number_or("seq_classif_dropout", 0.2, 0.0, max_dropout);
  require_gelu(file, "activation");
}

void read_bert(const ConfigFile& file, TransformerConfig& config) {
  config.family = TransformerConfig::Family::bert;
  config.num_token_types = file.integer("type_vocab_size", 1, 1 << 10);
  config.num_layers = file.integer("num_hidden_layers", 1, 512);
  config.num_heads = file.integer("num_attention_heads", 1, 1024);
  config.width = file.integer("hidden_size", 1, max_width);
  config.inner_width = file.integer("intermediate_size", 1, 4 * max_width);
  config.epsilon = file.number("layer_norm_eps", 1e-30, 1.0);
  config.dropout = file.number("hidden_dropout_prob", 0.0, max_dropout);
  config.attention_dropout = file.number("attention_probs_dropout_prob", 0.0, max_dropout);
  config.classifier_dropout = file.number_or("classifier_dropout", config.dropout, 0.0, max_dropout);
  require_gelu(file, "hidden_act");
  if (file.has("position_embedding_type") && file.text("position_embedding_type") != "absolute") {
    file.fail("'position_embedding_type' must be 'absolute'");
  }
  for (const char* key : {"is_decoder", "add_cross_attention"})
    if (file.is_set(key)) file.fail(fmt::format("'{}' is set, but only encoders are supported", key));
}

void check_widths(const ConfigFile& file, const TransformerConfig& config) {
  if (config.width % 16 != 0 || config.inner_width % 16 != 0) {
    file.fail(fmt::format("the widths {} and {} must be multiples of 16", config.width, config.inner_width));
  }
  if (config.width % (2 * config.num_heads) != 0) {
    file.fail(fmt::format("the width {} is not an even multiple of the {} heads", config.width, config.num_heads));
  }
}

}  // namespace

nlohmann::ordered_json read_json_object(const std::filesystem::path& path) {
  auto json = nlohmann::ordered_json::parse(read_text(path), nullptr, false);
  if (!json.is_object()) throw FileError(fmt::format("{} is not a JSON object", path.string()), path);
  return json;
}

TransformerConfig read_transformer_config(const std::filesystem::path& path) {
  const ConfigFile file(path);
  TransformerConfig config;
  const std::string type = file.text("model_type");
  // The longer ones are of exported models whose classifier is on the mean.
  if (type == "distilbert" || type == "distilbert_mean_pooling") {
    read_distilbert(file, config);
  } else if (type == "bert" || type == "bert_mean_pooling") {
    read_bert(file, config);
  } else {
    file.fail(fmt::format("'model_type' is '{}', but only 'distilbert' and 'bert' are supported", type));
  }
  config.vocabulary_size = file.integer("vocab_size", 1, 1 << 24);
  config.max_positions = file.integer("max_position_embeddings", 1, 1 << 16);
  config.initializer_range = file.number_or("initializer_range", 0.02, 0.0, 10.0);
  check_widths(file, config);
  return config;
}

}  // namespace fedmpi
