#pragma once

#include "config.hpp"
#include "fedmpi/layout.hpp"
#include "fedmpi/random.hpp"
#include "safetensors.hpp"

#include <optional>
#include <string>
#include <vector>

namespace fedmpi {

enum class Pooling { head, mean };

// Where the tensors lie in the flat buffers, in elements. Query, key and value are neighbours: one [3 width, width]
// matrix and one [3 width] bias.
struct LayerOffsets {
  std::int64_t qkv_weight, qkv_bias;
  std::int64_t projection_weight, projection_bias;
  std::int64_t attention_norm_weight, attention_norm_bias;
  std::int64_t inner_weight, inner_bias;
  std::int64_t outer_weight, outer_bias;
  std::int64_t output_norm_weight, output_norm_bias;
  std::int64_t end;
};

struct NetworkOffsets {
  std::int64_t words, positions;
  std::int64_t token_types = -1;  // -1: none
  std::int64_t norm_weight, norm_bias;
  std::vector<LayerOffsets> layers;
  std::int64_t pooler_weight = -1, pooler_bias = -1;  // pre_classifier or pooler.dense; -1: none
  std::int64_t classifier_weight, classifier_bias;
  std::int64_t num_frozen_layers = 0;  // from below; they have no gradients
  bool frozen_embeddings = false;
};

// The parameters of a *ForSequenceClassification under transformers' names.
struct Parameters {
  Layout layout;
  NetworkOffsets offsets;
};

struct ParameterChoices {
  std::int64_t num_labels;
  Pooling pooling;
  double head_learning_rate;  // 0: none of its own. Tensors of the head that the file lacks are new and have it.
  // Only the head and so many of the last layers; nullopt: everything.
  std::optional<std::int64_t> train_layers;
};

// UserError for more train_layers than there are.
Parameters place_parameters(const TransformerConfig& config, const ParameterChoices& choices,
                            const SafetensorsFile& file);

// Writes the file's values, and random ones for what a head lacks, to `values`. FileError for a tensor that is missing.
void initial_values(const Layout& layout, const TransformerConfig& config, const SafetensorsFile& file, RandomKey key,
                    at::Tensor values);

}  // namespace fedmpi
