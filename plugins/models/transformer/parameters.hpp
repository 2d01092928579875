#pragma once

#include "config.hpp"
#include "fedmpi/layout.hpp"
#include "fedmpi/random.hpp"
#include "safetensors.hpp"

#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/util/accumulate.h>

namespace fedmpi {

enum class Pooling { head, mean };

// What an adapter's two tensors are called after the module they belong to: down [rank, in], up [out, rank].
inline constexpr const char *down_name = ".lora_A.weight", *up_name = ".lora_B.weight";

// Where a tensor lies in the flat buffers.
class Place {
 public:
  Place() = default;  // of a tensor that there is not
  Place(std::int64_t offset, bool trained) : offset_{offset}, trained_{trained} {}

  bool exists() const { return offset_ >= 0; }
  bool is_trained() const { return trained_; }
  const float* in(const float* values) const { return values + offset_; }
  // The same of a flat buffer on any device, which must hold `shape` there.
  at::Tensor view(const at::Tensor& buffer, at::IntArrayRef shape) const {
    return buffer.narrow(0, offset_, c10::multiply_integers(shape)).view(shape);
  }
  // nullptr: there is none.
  float* gradient(float* gradients) const { return trained_ ? gradients + offset_ : nullptr; }

 private:
  std::int64_t offset_ = -1;
  bool trained_ = false;
};

// Of the rows [first_row, first_row + out_width) of a matrix: scale * up [out_width, rank] * down [rank, in_width] is
// added to them.
struct AdapterPlaces {
  Place down, up;
  std::int64_t rank, first_row, out_width;
  float scale;
};

struct MatrixPlaces {
  Place weight;
  std::vector<AdapterPlaces> adapters;
};

// Query, key and value are neighbours: one [3 width, width] matrix and one [3 width] bias.
struct LayerPlaces {
  MatrixPlaces qkv, projection, inner, outer;
  Place qkv_bias, projection_bias, inner_bias, outer_bias;
  Place attention_norm_weight, attention_norm_bias;
  Place output_norm_weight, output_norm_bias;
};

struct NetworkPlaces {
  Place words, positions, token_types;
  Place norm_weight, norm_bias;
  std::vector<LayerPlaces> layers;
  Place pooler_weight, pooler_bias;  // pre_classifier or pooler.dense
  Place classifier_weight, classifier_bias;
  bool trains_embeddings = false;
  std::size_t first_trained_layer = 0;  // that a backward has to reach; the number of layers when none
};

// Low-rank adapters (LoRA) of an encoder's linear layers.
struct AdapterChoices {
  std::int64_t rank = 0;  // 0: none
  double alpha = 0.0;     // the scale is alpha / rank
  // Ends of modules' names as PEFT's target_modules has them, "query" or "attention.output.dense"; empty: query and
  // value.
  std::vector<std::string> targets;
};

struct ParameterChoices {
  std::int64_t num_labels;
  Pooling pooling;
  double head_learning_rate;  // 0: none of its own. Tensors of the head that the file lacks are new and have it.
  // Only the head and so many of the last layers; nullopt: everything.
  std::optional<std::int64_t> train_layers;
  AdapterChoices adapters;  // with them only they and the head are trained
};

// The parameters of a *ForSequenceClassification under transformers' names, adapters under PEFT's. UserError for more
// train_layers than there are and for an adapter's target that is none.
Layout make_layout(const TransformerConfig& config, const ParameterChoices& choices, const SafetensorsFile& file);

// UserError where a layer's query, key and value have different roles. `alpha` is AdapterChoices::alpha.
NetworkPlaces find_places(const Layout& layout, const TransformerConfig& config, double alpha);

// Writes the file's values, random ones for what a head lacks, and adapters that change nothing yet, to `values`.
// FileError for a tensor that is missing.
void initial_values(const Layout& layout, const TransformerConfig& config, const SafetensorsFile& file, RandomKey key,
                    at::Tensor values);

}  // namespace fedmpi
