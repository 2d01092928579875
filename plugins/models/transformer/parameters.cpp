#include "parameters.hpp"

#include "fedmpi/error.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

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

std::string layer_name(const Names& names, std::int64_t layer) {
  return fmt::format("{}{}{}.", names.prefix, names.layers, layer);
}

// A layer's linear modules, in the order of their matrices.
std::array<const char*, 6> linear_parts(const Names& names) {
  return {names.query, names.key, names.value, names.projection, names.inner, names.outer};
}

// PEFT's rule for target_modules.
bool is_target(const std::string& module, const std::string& target) {
  return module == target || module.ends_with("." + target);
}

// UserError for one that names no linear module of a layer.
std::vector<std::string> adapter_targets(const AdapterChoices& choices, const Names& names) {
  if (choices.targets.empty())
    return &names == &bert_names ? std::vector<std::string>{"query", "value"}
                                 : std::vector<std::string>{"q_lin", "v_lin"};
  const auto parts = linear_parts(names);
  for (const std::string& target : choices.targets) {
    if (std::ranges::none_of(parts, [&](const char* part) { return is_target(layer_name(names, 0) + part, target); }))
      throw UserError(fmt::format("model.lora_targets names '{}', but the linear modules of a layer are {}", target,
                                  fmt::join(parts, ", ")));
  }
  return choices.targets;
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

  void add(const std::string& name, std::vector<std::int64_t> shape, TensorKind kind = TensorKind::weight) {
    std::optional<double> rate;
    const bool own_rate = name.starts_with("classifier.") || (is_head(name) && !name_in_file(file_, name));
    if (own_rate && head_learning_rate_ > 0.0) rate = head_learning_rate_;
    specs_.push_back({name, std::move(shape), role_, rate, is_head(name) ? TensorKind::head : kind});
  }
  void add_linear(const std::string& name, std::int64_t out, std::int64_t in) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  }
  void add_norm(const std::string& name, std::int64_t width) {
    add(name + ".weight", {width}, TensorKind::normalization);
    add(name + ".bias", {width}, TensorKind::normalization);
  }

  void add_embeddings(const TransformerConfig& config) {
    const std::string at = std::string(names_.prefix) + "embeddings.";
    add(at + "word_embeddings.weight", {config.vocabulary_size, config.width});
    add(at + "position_embeddings.weight", {config.max_positions, config.width});
    if (config.num_token_types > 0) add(at + "token_type_embeddings.weight", {config.num_token_types, config.width});
    add_norm(at + "LayerNorm", config.width);
  }
  void add_layer(const TransformerConfig& config, std::int64_t layer) {
    const std::string at = layer_name(names_, layer);
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

  void add_adapters(const TransformerConfig& config, const AdapterChoices& choices, std::int64_t layer) {
    const auto targets = adapter_targets(choices, names_);
    for (const char* part : linear_parts(names_)) {
      const std::string name = layer_name(names_, layer) + part;
      if (std::ranges::none_of(targets, [&](const std::string& target) { return is_target(name, target); })) continue;
      add(name + down_name, {choices.rank, part == names_.outer ? config.inner_width : config.width});
      add(name + up_name, {part == names_.inner ? config.inner_width : config.width, choices.rank});
    }
  }

  // They would be left out in silence.
  void refuse_more_layers(const TransformerConfig& config) const {
    const std::string next = layer_name(names_, config.num_layers) + names_.inner + ".weight";
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

Place place_of(const Layout& layout, const std::string& name) {
  const auto index = layout.find(name);
  return index ? Place(layout.offset(*index), layout.has_gradient(*index)) : Place();
}

// Of three tensors that are used as one.
Place place_of_all(const Layout& layout, const std::vector<std::string>& names) {
  const std::size_t first = *layout.find(names[0]);
  std::int64_t end = layout.offset(first);
  for (const std::string& name : names) {
    const std::size_t index = *layout.find(name);
    if (layout.offset(index) != end || layout.has_gradient(index) != layout.has_gradient(first))
      throw UserError(
          fmt::format("the model 'transformer' needs one role for query, key and value of a layer, but '{}' "
                      "has another than '{}'",
                      name, names[0]));
    end += layout.num_elements(index);
  }
  return place_of(layout, names[0]);
}

void find_adapter(const Layout& layout, const std::string& module, std::int64_t first_row, double alpha,
                  MatrixPlaces& places) {
  const Place down = place_of(layout, module + down_name), up = place_of(layout, module + up_name);
  if (!down.exists()) return;
  const auto& shape = layout.spec(*layout.find(module + up_name)).shape;
  places.adapters.push_back({.down = down,
                             .up = up,
                             .rank = shape[1],
                             .first_row = first_row,
                             .out_width = shape[0],
                             .scale = static_cast<float>(alpha / static_cast<double>(shape[1]))});
}

LayerPlaces layer_places(const Layout& layout, const TransformerConfig& config, const Names& names,
                         const std::string& at, double alpha) {
  const std::array attention{at + names.query, at + names.key, at + names.value};
  const auto of_attention = [&](const char* kind) {
    return place_of_all(layout, {attention[0] + kind, attention[1] + kind, attention[2] + kind});
  };
  LayerPlaces l;
  l.qkv.weight = of_attention(".weight");
  l.qkv_bias = of_attention(".bias");
  for (std::size_t i = 0; i < attention.size(); ++i)
    find_adapter(layout, attention[i], static_cast<std::int64_t>(i) * config.width, alpha, l.qkv);
  const auto find_linear = [&](const char* part, MatrixPlaces& matrix, Place& bias) {
    matrix.weight = place_of(layout, at + part + ".weight");
    bias = place_of(layout, at + part + ".bias");
    find_adapter(layout, at + part, 0, alpha, matrix);
  };
  find_linear(names.projection, l.projection, l.projection_bias);
  find_linear(names.inner, l.inner, l.inner_bias);
  find_linear(names.outer, l.outer, l.outer_bias);
  l.attention_norm_weight = place_of(layout, at + names.attention_norm + ".weight");
  l.attention_norm_bias = place_of(layout, at + names.attention_norm + ".bias");
  l.output_norm_weight = place_of(layout, at + names.output_norm + ".weight");
  l.output_norm_bias = place_of(layout, at + names.output_norm + ".bias");
  return l;
}

bool trains_matrix(const MatrixPlaces& matrix) {
  return matrix.weight.is_trained() || std::ranges::any_of(matrix.adapters, [](const AdapterPlaces& adapter) {
           return adapter.down.is_trained() || adapter.up.is_trained();
         });
}

bool trains_layer(const LayerPlaces& l) {
  for (const MatrixPlaces* matrix : {&l.qkv, &l.projection, &l.inner, &l.outer})
    if (trains_matrix(*matrix)) return true;
  const std::array others{l.qkv_bias,           l.projection_bias,       l.inner_bias,
                          l.outer_bias,         l.attention_norm_weight, l.attention_norm_bias,
                          l.output_norm_weight, l.output_norm_bias};
  return std::ranges::any_of(others, &Place::is_trained);
}

}  // namespace

Layout make_layout(const TransformerConfig& config, const ParameterChoices& choices, const SafetensorsFile& file) {
  Placement placement(config, choices.head_learning_rate, file);
  const std::int64_t num_frozen_layers = config.num_layers - choices.train_layers.value_or(config.num_layers);
  if (num_frozen_layers < 0)
    throw UserError(fmt::format("model.train_layers is {}, but the model has only {} layers", *choices.train_layers,
                                config.num_layers));
  const bool has_adapters = choices.adapters.rank > 0;
  placement.set_role(choices.train_layers || has_adapters ? TensorRole::frozen : TensorRole::shared);
  placement.add_embeddings(config);
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer) {
    placement.set_role(layer < num_frozen_layers || has_adapters ? TensorRole::frozen : TensorRole::shared);
    placement.add_layer(config, layer);
    placement.set_role(TensorRole::shared);
    if (has_adapters) placement.add_adapters(config, choices.adapters, layer);
  }
  placement.refuse_more_layers(config);
  placement.set_role(TensorRole::shared);
  if (choices.pooling == Pooling::head)
    placement.add_linear(names_of(config.family).pooler, config.width, config.width);
  placement.add_linear("classifier", choices.num_labels, config.width);
  return Layout(placement.take_specs());
}

NetworkPlaces find_places(const Layout& layout, const TransformerConfig& config, double alpha) {
  const Names& names = names_of(config.family);
  const std::string embeddings = std::string(names.prefix) + "embeddings.";
  NetworkPlaces p;
  p.words = place_of(layout, embeddings + "word_embeddings.weight");
  p.positions = place_of(layout, embeddings + "position_embeddings.weight");
  p.token_types = place_of(layout, embeddings + "token_type_embeddings.weight");
  p.norm_weight = place_of(layout, embeddings + "LayerNorm.weight");
  p.norm_bias = place_of(layout, embeddings + "LayerNorm.bias");
  for (std::int64_t layer = 0; layer < config.num_layers; ++layer)
    p.layers.push_back(layer_places(layout, config, names, layer_name(names, layer), alpha));
  p.pooler_weight = place_of(layout, std::string(names.pooler) + ".weight");
  p.pooler_bias = place_of(layout, std::string(names.pooler) + ".bias");
  p.classifier_weight = place_of(layout, "classifier.weight");
  p.classifier_bias = place_of(layout, "classifier.bias");
  const std::array of_embeddings{p.words, p.positions, p.token_types, p.norm_weight, p.norm_bias};
  p.trains_embeddings = std::ranges::any_of(of_embeddings, &Place::is_trained);
  if (!p.trains_embeddings)
    p.first_trained_layer = static_cast<std::size_t>(std::ranges::find_if(p.layers, trains_layer) - p.layers.begin());
  return p;
}

void initial_values(const Layout& layout, const TransformerConfig& config, const SafetensorsFile& file, RandomKey key,
                    at::Tensor values) {
  constexpr std::uint64_t adapters = std::uint64_t{1} << 32;  // beyond the tensors of a head
  values.zero_();
  std::uint64_t num_new = 0, num_adapters = 0;
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    const TensorSpec& spec = layout.spec(i);
    float* out = values.mutable_data_ptr<float>() + layout.offset(i);
    if (spec.name.ends_with(up_name)) continue;
    if (spec.name.ends_with(down_name)) {
      // PEFT's: Kaiming-uniform with a = sqrt(5).
      RandomStream random(derive(derive(key, adapters), num_adapters++));
      const double bound = 1.0 / std::sqrt(static_cast<double>(spec.shape[1]));
      for (std::int64_t j = 0; j < layout.num_elements(i); ++j)
        out[j] = static_cast<float>((2.0 * random.uniform() - 1.0) * bound);
      continue;
    }
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
