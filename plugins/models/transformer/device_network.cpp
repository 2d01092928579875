#include "device_network.hpp"

#include "device_batch.hpp"
#include "device_dropout.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace fedmpi {
namespace {

using MaybeKey = std::optional<RandomKey>;  // none: nothing is dropped

MaybeKey of_site(const MaybeKey& key, std::uint64_t site) {
  return key ? MaybeKey(derive(*key, site)) : std::nullopt;
}

at::Tensor dropped_at(const at::Tensor& in, double probability, const MaybeKey& key) {
  return key ? dropped_on_device(in, probability, *key) : in;
}

struct DeviceAdapter {
  at::Tensor down, up;
  std::int64_t first_row;
  double scale;
};

struct DeviceLinear {
  at::Tensor weight, bias;
  std::vector<DeviceAdapter> adapters;
};

struct DeviceNorm {
  at::Tensor weight, bias;
};

struct DeviceLayer {
  DeviceLinear qkv, projection, inner, outer;
  DeviceNorm attention_norm, output_norm;
};

// Views of the flat buffers: what is trained requires a gradient, and has its own to add to.
class DeviceParameters {
 public:
  DeviceParameters(const at::Tensor& values, const at::Tensor& gradients) : values_{values}, gradients_{gradients} {}

  at::Tensor tensor(const Place& place, at::IntArrayRef shape) const {
    if (!place.exists()) return {};
    at::Tensor parameter = place.view(values_, shape).variable_data();
    if (place.is_trained()) {
      parameter.requires_grad_();
      parameter.mutable_grad() = place.view(gradients_, shape);
    }
    return parameter;
  }
  DeviceLinear linear(const MatrixPlaces& matrix, const Place& bias, std::int64_t out_width,
                      std::int64_t in_width) const {
    DeviceLinear linear{tensor(matrix.weight, {out_width, in_width}), tensor(bias, {out_width}), {}};
    for (const AdapterPlaces& adapter : matrix.adapters)
      linear.adapters.push_back({tensor(adapter.down, {adapter.rank, in_width}),
                                 tensor(adapter.up, {adapter.out_width, adapter.rank}), adapter.first_row,
                                 adapter.scale});
    return linear;
  }
  DeviceNorm norm(const Place& weight, const Place& bias, std::int64_t width) const {
    return {tensor(weight, {width}), tensor(bias, {width})};
  }
  DeviceLayer layer(const LayerPlaces& places, std::int64_t width, std::int64_t inner_width) const {
    return {linear(places.qkv, places.qkv_bias, 3 * width, width),
            linear(places.projection, places.projection_bias, width, width),
            linear(places.inner, places.inner_bias, inner_width, width),
            linear(places.outer, places.outer_bias, width, inner_width),
            norm(places.attention_norm_weight, places.attention_norm_bias, width),
            norm(places.output_norm_weight, places.output_norm_bias, width)};
  }

 private:
  const at::Tensor &values_, &gradients_;
};

class DeviceNetwork final : public Network {
 public:
  DeviceNetwork(const NetworkDescription& description, const at::Tensor& values, const at::Tensor& gradients,
                Precision precision, std::int64_t part_limit)
      : config_{description.config},
        pooling_{description.pooling},
        num_labels_{description.num_labels},
        device_{values.device()},
        product_type_{precision == Precision::bf16 ? at::kBFloat16 : at::kFloat},
        part_limit_{part_limit} {
    const NetworkPlaces& places = description.places;
    const DeviceParameters parameters(values, gradients);
    const std::int64_t w = config_.width;
    words_ = parameters.tensor(places.words, {config_.vocabulary_size, w});
    positions_ = parameters.tensor(places.positions, {config_.max_positions, w});
    token_types_ = parameters.tensor(places.token_types, {config_.num_token_types, w});
    embedding_norm_ = parameters.norm(places.norm_weight, places.norm_bias, w);
    for (const LayerPlaces& layer : places.layers) layers_.push_back(parameters.layer(layer, w, config_.inner_width));
    pooler_weight_ = parameters.tensor(places.pooler_weight, {w, w});
    pooler_bias_ = parameters.tensor(places.pooler_bias, {w});
    classifier_weight_ = parameters.tensor(places.classifier_weight, {num_labels_, w});
    classifier_bias_ = parameters.tensor(places.classifier_bias, {num_labels_});
  }

  void values_changed() override {}  // nothing is kept that they made
  const float* logits() const override { return logits_.const_data_ptr<float>(); }

  BatchResult fit(const PackedTokens& batch, std::span<const std::int64_t> labels, RandomKey key) override {
    BatchResult result{.num_examples = batch.num_sequences()};
    std::uint64_t number = 0;
    for (std::int64_t first = 0, last = 0; first < batch.num_sequences(); first = last) {
      last = end_of_part(batch, first);
      const DeviceBatch part(batch, labels, first, last, device_);
      const at::Tensor logits = forward(part, derive(key, number++));
      const at::Tensor loss = at::cross_entropy_loss(logits, part.labels(), {}, at::Reduction::Sum);
      if (loss.requires_grad()) loss.div(batch.num_sequences()).backward();
      result.loss_sum += loss_sum(logits.detach().cpu(), labels.subspan(static_cast<std::size_t>(first)));
    }
    return result;
  }

  BatchResult evaluate(const PackedTokens& batch, std::span<const std::int64_t> labels) override {
    const at::NoGradGuard no_gradients;
    logits_ = at::empty({batch.num_sequences(), num_labels_}, at::kFloat);
    for (std::int64_t first = 0, last = 0; first < batch.num_sequences(); first = last) {
      last = end_of_part(batch, first);
      logits_.slice(0, first, last).copy_(forward(DeviceBatch(batch, labels, first, last, device_), std::nullopt));
    }
    return {.loss_sum = loss_sum(logits_, labels), .num_examples = batch.num_sequences()};
  }

 private:
  // The first sequence that is not computed with `first`.
  std::int64_t end_of_part(const PackedTokens& batch, std::int64_t first) const {
    std::int64_t last = first, longest = 0;
    for (; last < batch.num_sequences(); ++last) {
      const auto s = static_cast<std::size_t>(last);
      longest = std::max(longest, batch.offsets[s + 1] - batch.offsets[s]);
      const std::int64_t cells = (last + 1 - first) * longest;
      if (last > first && cells * (config_.num_heads * longest + 10 * config_.width) > part_limit_) break;
    }
    return last;
  }

  // Summed in double in the order of the examples. `logits` [examples, labels] on the host.
  static double loss_sum(const at::Tensor& logits, std::span<const std::int64_t> labels) {
    const at::Tensor log_probabilities = logits.to(at::kDouble).log_softmax(1);
    const auto rows = log_probabilities.accessor<double, 2>();
    double sum = 0.0;
    for (std::int64_t i = 0; i < rows.size(0); ++i) sum -= rows[i][labels[static_cast<std::size_t>(i)]];
    return sum;
  }

  at::Tensor norm(const at::Tensor& in, const DeviceNorm& own) const {
    return at::layer_norm(in, {config_.width}, own.weight, own.bias, config_.epsilon);
  }

  // in [rows, in_width] of any dtype; the result has that of products.
  at::Tensor product(const at::Tensor& in, const DeviceLinear& own) const {
    const at::Tensor operand = in.to(product_type_);
    const at::Tensor out = at::linear(operand, own.weight.to(product_type_), own.bias.to(product_type_));
    if (own.adapters.empty()) return out;
    // Side by side, so that a matrix takes two more products whatever the number of its adapters.
    std::vector<at::Tensor> downs, ups;
    for (const DeviceAdapter& adapter : own.adapters) {
      const std::int64_t below = out.size(1) - adapter.first_row - adapter.up.size(0);
      downs.push_back(adapter.down);
      ups.push_back(at::constant_pad_nd(adapter.up * adapter.scale, {0, 0, adapter.first_row, below}));
    }
    const at::Tensor low = at::linear(operand, at::cat(downs, 0).to(product_type_));
    return out + at::linear(low, at::cat(ups, 1).to(product_type_));
  }

  // The context vectors [rows, width] of all tokens, or of the first ones, from `in` [tokens, width].
  at::Tensor attention(const DeviceBatch& batch, const at::Tensor& in, const DeviceLayer& layer, bool first_only,
                       const MaybeKey& key) const {
    const std::int64_t heads = config_.num_heads, width = config_.head_width();
    const std::vector<at::Tensor> qkv = batch.pad(product(in, layer.qkv))
                                            .view({batch.num_sequences(), batch.longest(), 3, heads, width})
                                            .permute({2, 0, 3, 1, 4})
                                            .unbind();
    const at::Tensor queries = (first_only ? qkv[0].narrow(2, 0, 1) : qkv[0]) / std::sqrt(static_cast<double>(width));
    const at::Tensor scores = at::matmul(queries, qkv[1].transpose(2, 3));
    const at::Tensor padding = batch.padding().view({batch.num_sequences(), 1, 1, batch.longest()});
    const at::Tensor probabilities =
        scores.to(at::kFloat).masked_fill(padding, -std::numeric_limits<double>::infinity()).softmax(3);
    const at::Tensor context =
        at::matmul(dropped_at(probabilities, config_.attention_dropout, key).to(product_type_), qkv[2])
            .transpose(1, 2)
            .reshape({batch.num_sequences(), -1, config_.width});
    return first_only ? context.squeeze(1) : batch.unpad(context);
  }

  // stream [tokens, width], float32; the result is [sequences, width] with `first_only`.
  at::Tensor encoded(const DeviceBatch& batch, const at::Tensor& stream, const DeviceLayer& layer, bool first_only,
                     const MaybeKey& key) const {
    const at::Tensor context = attention(batch, stream, layer, first_only, of_site(key, 0));
    const at::Tensor residual = first_only ? batch.first_tokens(stream) : stream;
    const at::Tensor projected = dropped_at(product(context, layer.projection), config_.dropout, of_site(key, 1));
    const at::Tensor middle = norm(residual + projected, layer.attention_norm);
    const at::Tensor outer = product(at::gelu(product(middle, layer.inner)), layer.outer);
    return norm(middle + dropped_at(outer, config_.dropout, of_site(key, 2)), layer.output_norm);
  }

  // Logits [sequences, labels], float32.
  at::Tensor forward(const DeviceBatch& batch, const MaybeKey& key) const {
    at::Tensor stream = at::embedding(words_, batch.tokens()) + at::embedding(positions_, batch.positions());
    if (token_types_.defined()) stream = stream + token_types_[0];
    stream = dropped_at(norm(stream, embedding_norm_), config_.dropout, of_site(key, 0));
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const bool first_only = pooling_ == Pooling::head && i + 1 == layers_.size();
      stream = encoded(batch, stream, layers_[i], first_only, of_site(key, 2 + i));
    }
    at::Tensor pooled =
        pooling_ == Pooling::head ? stream : batch.pad(stream).sum(1) / batch.lengths().unsqueeze(1).to(at::kFloat);
    if (pooler_weight_.defined()) {
      pooled = at::linear(pooled, pooler_weight_, pooler_bias_);
      pooled = config_.family == TransformerConfig::Family::bert ? pooled.tanh() : pooled.relu();
    }
    pooled = dropped_at(pooled, config_.classifier_dropout, of_site(key, 1));
    return at::linear(pooled, classifier_weight_, classifier_bias_);
  }

  const TransformerConfig& config_;
  Pooling pooling_;
  std::int64_t num_labels_;
  at::Device device_;
  at::ScalarType product_type_;
  std::int64_t part_limit_;
  at::Tensor words_, positions_, token_types_;
  DeviceNorm embedding_norm_;
  std::vector<DeviceLayer> layers_;
  at::Tensor pooler_weight_, pooler_bias_, classifier_weight_, classifier_bias_;
  at::Tensor logits_;
};

}  // namespace

std::unique_ptr<Network> make_device_network(const NetworkDescription& description, const at::Tensor& values,
                                             const at::Tensor& gradients, Precision precision,
                                             std::int64_t part_limit) {
  return std::make_unique<DeviceNetwork>(description, values, gradients, precision, part_limit);
}

}  // namespace fedmpi
