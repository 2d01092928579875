#pragma once

#include "config.hpp"
#include "fedmpi/layout.hpp"
#include "fedmpi/random.hpp"
#include "safetensors.hpp"

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
};

// The parameters of a *ForSequenceClassification under transformers' names.
struct Parameters {
  Layout layout;
  NetworkOffsets offsets;
};

// `head_learning_rate` 0: none of its own. Tensors of the head that `file` lacks are newly initialised and have it.
Parameters place_parameters(const TransformerConfig& config, std::int64_t num_labels, Pooling pooling,
                            double head_learning_rate, const SafetensorsFile& file);

// Writes the file's values, and random ones for what a head lacks, to `values`. FileError for a tensor that is missing.
void initial_values(const Layout& layout, const TransformerConfig& config, const SafetensorsFile& file, RandomKey key,
                    at::Tensor values);

}  // namespace fedmpi
