#include "parameters.hpp"

#include "fedmpi/error.hpp"

#include <optional>

#include <fmt/format.h>

namespace fedmpi {
namespace {

using Family = TransformerConfig::Family;

// The words in which the two families differ.
struct Names {
  const char *prefix, *layers;
  const char *query, *key, *value, *projection, *attention_norm, *inner, *outer, *output_norm;
  const char* pooler;
};
constexpr Names distilbert_names{"distilbert.",     "transformer.layer.", "attention.q_lin", "attention.k_lin",
                                 "attention.v_lin", "attention.out_lin",  "sa_layer_norm",   "ffn.lin1",
                                 "ffn.lin2",        "output_layer_norm",  "pre_classifier"};
constexpr Names bert_names{"bert.",
                           "encoder.layer.",
                           "attention.self.query",
                           "attention.self.key",
                           "attention.self.value",
                           "attention.output.dense",
                           "attention.output.LayerNorm",
                           "intermediate.dense",
                           "output.dense",
                           "output.LayerNorm",
                           "bert.pooler.dense"};

const Names& names_of(Family family) {
  return family == Family::bert ? bert_names : distilbert_names;
}

bool is_head(const std::string& name) {
  return name.starts_with("classifier.") || name.starts_with("pre_classifier.") ||
         name.starts_with("bert.pooler.dense.");
}

// The name under which the file has this tensor: with or without the family's prefix, and with a layer norm's
// older words.
std::optional<std::string> name_in_file(const SafetensorsFile& file, const std::string& name) {
  std::vector<std::string> candidates{name};
  for (const char* prefix : {"distilbert.", "bert."})
    if (name.starts_with(prefix)) candidates.push_back(name.substr(std::string(prefix).size()));
  for (std::size_t i = 0, count = candidates.size(); i < count; ++i) {
    const std::string word = candidates[i];
    if (word.ends_with("LayerNorm.weight")) candidates.push_back(word.substr(0, word.size() - 6) + "gamma");
    if (word.ends_with("LayerNorm.bias")) candidates.push_back(word.substr(0, word.size() - 4) + "beta");
  }
  for (const auto& candidate : candidates)
    if (file.contains(candidate)) return candidate;
  return std::nullopt;
}

class Placement {
 public:
  Placement(const TransformerConfig& config, double head_learning_rate, const SafetensorsFile& file)
      : names_{names_of(config.family)}, head_learning_rate_{head_learning_rate}, file_{file} {}

  void set_role(TensorRole role) { role_ = role; }  // of what is added from now on

  void add(const std::string& name, std::vector<std::int64_t> shape) {
    std::optional<double> rate;
    const bool own_rate = name.starts_with("classifier.") || (is_head(name) && !name_in_file(file_, name));
    if (own_rate && head_learning_rate_ > 0.0) rate = head_learning_rate_;
    specs_.push_back({name, std::move(shape), role_, rate});
  }
  void add_linear(const std::string& name, std::int64_t out, std::int64_t in) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  }
  void add_norm(const std::string& name, std::int64_t width) {
    add(name + ".weight", {width});
    add(name + ".bias", {width});
  }

  void add_embeddings(const TransformerConfig& config) {
    const std::string at = std::string(names_.prefix) + "embeddings.";
    add(at + "word_embeddings.weight", {config.vocabulary_size, config.width});
    add(at + "position_embeddings.weight", {config.max_positions, config.width});
    if (config.num_token_types > 0) add(at + "token_type_embeddings.weight", {config.num_token_types, config.width});
    add_norm(at + "LayerNorm", config.width);
  }
  std::string layer_name(std::int64_t layer) const {
    return fmt::format("{}{}{}.", names_.prefix, names_.layers, layer);
  }
  void add_layer(const TransformerConfig& config, std::int64_t layer) {
    const std::string at = layer_name(layer);
    for (const char* part : {names_.query, names_.key, names_.value}) {
      add(at + part + ".weight", {config.width, config.width});
    }
    for (const char* part : {names_.query, names_.key, names_.value}) add(at + part + ".bias", {config.width});
    add_linear(at + names_.projection, config.width, config.width);
    add_norm(at + names_.attention_norm, config.width);
    add_linear(at + names_.inner, config.inner_width, config.width);
    add_linear(at + names_.outer, config.width, config.inner_width);
    add_norm(at + names_.output_norm, config.width);
  }

  // They would be left out in silence.
  void refuse_more_layers(const TransformerConfig& config) const {
    const std::string next = layer_name(config.num_layers) + names_.inner + ".weight";
    if (name_in_file(file_, next))
      throw UserError(
          fmt::format("model.safetensors holds '{}', but config.json says that the model has {} layers: "
                      "correct config.json",
                      next, config.num_layers));
  }

  std::vector<TensorSpec> take_specs() { return std::move(specs_); }

 private:
  const Names& names_;
  double head_learning_rate_;
  const SafetensorsFile& file_;
  TensorRole role_ = TensorRole::shared;
  std::vector<TensorSpec> specs_;
};

std::int64_t offset_of(const Layout& layout, const std::string& name) {
  return layout.offset(*layout.find(name));
}

LayerOffsets layer_offsets(const Layout& layout, const Names& names, const std::string& at, std::int64_t width) {
  const auto offset = [&](const char* part, const char* kind) { return offset_of(layout, at + part + kind); };
  LayerOffsets o{};
  o.qkv_weight = offset(names.query, ".weight");
  o.qkv_bias = offset(names.query, ".bias");
  o.projection_weight = offset(names.projection, ".weight");
  o.projection_bias = offset(names.projection, ".bias");
  o.attention_norm_weight = offset(names.attention_norm, ".weight");
  o.attention_norm_bias = offset(names.attention_norm, ".bias");
  o.inner_weight = offset(names.inner, ".weight");
  o.inner_bias = offset(names.inner, ".bias");
  o.outer_weight = offset(names.outer, ".weight");
  o.outer_bias = offset(names.outer, ".bias");
  o.output_norm_weight = offset(names.output_norm, ".weight");
  o.output_norm_bias = offset(names.output_norm, ".bias");
  o.end = o.output_norm_bias + width;
  return o;
}

NetworkOffsets network_offsets(const Layout& layout, const TransformerConfig& config, const Placement& placement,
                               bool has_pooler) {
  const Names& names = names_of(config.family);
  const std::string embeddings = std::string(names.prefix) + "embeddings.";
  NetworkOffsets o{};
  o.words = offset_of(layout, embeddings + "word_embeddings.weight");
  o.positions = offset_of(layout, embeddings + "position_embeddings.weight");
  o.token_types = config.num_token_types > 0 ? offset_of(layout, embeddings + "token_type_embeddings.weight") : -1;
  o.norm_weight = offset_of(layout, embeddings + "LayerNorm.weight");
  o.norm_bias = offset_of(layout, embeddings + "LayerNorm.bias");
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    o.layers.push_back(layer_offsets(layout, names, placement.layer_name(layer), config.width));
  }
  o.pooler_weight = has_pooler ? offset_of(layout, std::string(names.pooler) + ".weight") : -1;
  o.pooler_bias = has_pooler ? offset_of(layout, std::string(names.pooler) + ".bias") : -1;
  o.classifier_weight = offset_of(layout, "classifier.weight");
  o.classifier_bias = offset_of(layout, "classifier.bias");
  return o;
}

}  // namespace

Parameters place_parameters(const TransformerConfig& config, const ParameterChoices& choices,
                            const SafetensorsFile& file) {
  Placement placement(config, choices.head_learning_rate, file);
  const bool has_pooler = choices.pooling == Pooling::head, frozen_embeddings = choices.train_layers.has_value();
  const std::int64_t num_frozen_layers = config.num_layers - choices.train_layers.value_or(config.num_layers);
  if (num_frozen_layers < 0)
    throw UserError(fmt::format("model.train_layers is {}, but the model has only {} layers", *choices.train_layers,
                                config.num_layers));
  placement.set_role(frozen_embeddings ? TensorRole::frozen : TensorRole::shared);
  placement.add_embeddings(config);
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    placement.set_role(layer < num_frozen_layers ? TensorRole::frozen : TensorRole::shared);
    placement.add_layer(config, layer);
  }
  placement.refuse_more_layers(config);
  placement.set_role(TensorRole::shared);
  if (has_pooler) placement.add_linear(names_of(config.family).pooler, config.width, config.width);
  placement.add_linear("classifier", choices.num_labels, config.width);
  Layout layout(placement.take_specs());
  NetworkOffsets offsets = network_offsets(layout, config, placement, has_pooler);
  offsets.num_frozen_layers = num_frozen_layers;
  offsets.frozen_embeddings = frozen_embeddings;
  return {std::move(layout), std::move(offsets)};
}

void initial_values(const Layout& layout, const TransformerConfig& config, const SafetensorsFile& file, RandomKey key,
                    at::Tensor values) {
  values.zero_();
  std::uint64_t num_new = 0;
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    const TensorSpec& spec = layout.spec(i);
    float* out = values.mutable_data_ptr<float>() + layout.offset(i);
    const auto stored = name_in_file(file, spec.name);
    if (stored || !is_head(spec.name)) {
      file.read(stored.value_or(spec.name), spec.shape, out);
    } else if (spec.name.ends_with(".weight")) {
      RandomStream random(derive(key, num_new++));  // whatever else is frozen
      for (std::int64_t j = 0; j < layout.num_elements(i); ++j) {
        out[j] = static_cast<float>(random.normal() * config.initializer_range);
      }
    }
  }
}

}  // namespace fedmpi
