#include "network.hpp"

#include <cmath>
#include <cstring>
#include <numeric>

namespace fedmpi {
namespace {

// Elements (tokens * width) of a layer's input that are fitted at once. Products are as fast on fewer rows than that;
// what is kept for the backward takes 28 bytes an element and layer in bf16.
constexpr std::int64_t largest_part = std::int64_t{1} << 22;
constexpr std::uint64_t first_part_purpose = std::uint64_t{1} << 32;  // beyond those of StepDropout

Dropout make_dropout(double probability, RandomKey key) {
  const auto threshold = static_cast<std::uint32_t>(std::lround(probability * 65536.0));
  return {key.value, threshold, static_cast<float>(65536.0 / (65536.0 - threshold))};
}

// The random numbers of one step. A layer's sites are its attention, its projection and its output.
class StepDropout {
 public:
  StepDropout(const TransformerConfig& config, RandomKey key) : config_{config}, key_{key} {}
  Dropout embedding() const { return make_dropout(config_.dropout, derive(key_, 0)); }
  Dropout head() const { return make_dropout(config_.classifier_dropout, derive(key_, 1)); }
  LayerDropout layer(std::size_t number) const {
    const RandomKey key = derive(key_, number + 2);
    return {make_dropout(config_.attention_dropout, derive(key, 0)), make_dropout(config_.dropout, derive(key, 1)),
            make_dropout(config_.dropout, derive(key, 2))};
  }

 private:
  const TransformerConfig& config_;
  RandomKey key_;
};

// The layers' matrices as the products read them: copied to bf16, and adapters packed, when first asked for.
template <class T>
class ProductWeights {
 public:
  ProductWeights(const TransformerConfig& config, std::span<const LayerPlaces> layers) {
    const std::int64_t w = config.width, inner = config.inner_width;
    for (const LayerPlaces& layer : layers) {
      matrices_.push_back({layer.qkv, 3 * w, w});
      matrices_.push_back({layer.projection, w, w});
      matrices_.push_back({layer.inner, inner, w});
      matrices_.push_back({layer.outer, w, inner});
    }
  }

  // Until something is forgotten again.
  LayerWeights<T> of_layer(std::size_t layer, const float* values) {
    Matrix* matrices = &matrices_[4 * layer];
    return {refreshed(matrices[0], values), refreshed(matrices[1], values), refreshed(matrices[2], values),
            refreshed(matrices[3], values)};
  }

  void forget_trained() {
    for (Matrix& matrix : matrices_) {
      matrix.is_fresh = matrix.is_fresh && !matrix.places.weight.is_trained();
      matrix.adapters_are_fresh = false;
    }
  }
  void forget_all() {
    for (Matrix& matrix : matrices_) matrix.is_fresh = matrix.adapters_are_fresh = false;
  }

 private:
  struct Matrix {
    const MatrixPlaces& places;
    std::int64_t out_width, in_width;
    Buffer<T> copy = {}, down = {}, up = {};
    bool is_fresh = false, adapters_are_fresh = false;
  };

  static MatrixWeights<T> refreshed(Matrix& matrix, const float* values) {
    MatrixWeights<T> weights;
    if constexpr (std::is_same_v<T, float>) {
      weights.weight = matrix.places.weight.in(values);
    } else {
      const std::int64_t size = matrix.out_width * matrix.in_width;
      T* copy = matrix.copy.reserve(size);
      if (!matrix.is_fresh) {
        at::parallel_for(0, size, 1 << 16, [&](std::int64_t first, std::int64_t last) {
          kernels<T>().from_float(matrix.places.weight.in(values) + first, copy + first, last - first);
        });
        matrix.is_fresh = true;
      }
      weights.weight = copy;
    }
    weights.depth = adapter_depth(matrix.places);
    if (weights.depth == 0) return weights;
    weights.down = matrix.down.reserve(weights.depth * matrix.in_width);
    weights.up = matrix.up.reserve(weights.depth * matrix.out_width);
    if (!matrix.adapters_are_fresh)
      pack_adapters(matrix.places, values, matrix.in_width, weights.depth, matrix.down.data(), matrix.up.data());
    matrix.adapters_are_fresh = true;
    return weights;
  }

  std::vector<Matrix> matrices_;
};

template <class T>
class NetworkOf final : public Network {
 public:
  NetworkOf(const NetworkDescription& description, const float* values, float* gradients)
      : config_{description.config},
        places_{description.places},
        pooling_{description.pooling},
        first_trained_{description.places.first_trained_layer},
        values_{values},
        gradients_{gradients},
        embedding_(description.config, description.places),
        head_(description.config, description.places, description.num_labels),
        weights_(description.config, description.places.layers) {
    for (const LayerPlaces& layer : places_.layers) {
      const bool last = layers_.size() + 1 == places_.layers.size();
      layers_.emplace_back(config_, layer, last && pooling_ == Pooling::head);
    }
  }

  void values_changed() override {
    if (was_fitted_)
      weights_.forget_trained();
    else
      weights_.forget_all();
  }
  const float* logits() const override { return head_.logits(); }

  // A batch that would keep too much for its backward is fitted in parts, one after another; gradients add up anyway.
  BatchResult fit(const PackedTokens& batch, std::span<const std::int64_t> labels, RandomKey key) override {
    was_fitted_ = true;
    memory_.resize(std::max<std::size_t>(layers_.size() - first_trained_, 1));
    const std::int64_t num_parts = 1 + (batch.num_tokens() * config_.width - 1) / largest_part;
    BatchResult result;
    for (std::int64_t part = 0, first = 0, last = 0; part < num_parts; ++part, first = last) {
      const std::int64_t end = batch.num_tokens() * (part + 1) / num_parts;
      while (last < batch.num_sequences() && batch.offsets[static_cast<std::size_t>(last)] < end) ++last;
      if (first == last) continue;
      const auto own_labels = labels.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
      const BatchResult own = fit_part(sequences(batch, first, last), own_labels, batch.num_sequences(),
                                       part == 0 ? key : derive(key, first_part_purpose + part));
      result.loss_sum += own.loss_sum;
      result.num_examples += own.num_examples;
    }
    return result;
  }

  BatchResult evaluate(const PackedTokens& batch, std::span<const std::int64_t> labels) override {
    memory_.resize(std::max<std::size_t>(memory_.size(), 1));
    return head_.forward(labels, std::ssize(labels), values_, {}, forward(batch, nullptr));
  }

 private:
  BatchResult fit_part(const PackedTokens& batch, std::span<const std::int64_t> labels, std::int64_t whole_batch,
                       RandomKey key) {
    const StepDropout dropout(config_, key);
    const float* pooled = forward(batch, &dropout);
    const BatchResult result = head_.forward(labels, whole_batch, values_, dropout.head(), pooled);
    backward(batch, labels, pooled, dropout);
    return result;
  }

  // Valid until the next call.
  PackedTokens sequences(const PackedTokens& batch, std::int64_t first, std::int64_t last) {
    const auto offsets =
        batch.offsets.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first) + 1);
    part_offsets_.clear();
    for (const std::int64_t offset : offsets) part_offsets_.push_back(offset - offsets.front());
    return {
        batch.tokens.subspan(static_cast<std::size_t>(offsets.front()), static_cast<std::size_t>(part_offsets_.back())),
        part_offsets_};
  }

  // Layers that no backward visits, those below all that is trained and those of an evaluation, share the first.
  LayerMemory<T>& memory(std::size_t layer, bool training) {
    return memory_[training && layer > first_trained_ ? layer - first_trained_ : 0];
  }

  typename EncoderLayer<T>::Batch layer_batch(const PackedTokens& batch) {
    row_numbers_.resize(static_cast<std::size_t>(batch.num_sequences()) + 1);
    std::iota(row_numbers_.begin(), row_numbers_.end(), std::int64_t{0});
    return {batch.offsets, row_numbers_};
  }

  // Returns the pooled vectors. Without dropout nothing is kept for a backward.
  const float* forward(const PackedTokens& batch, const StepDropout* dropout) {
    const std::int64_t w = config_.width, tokens = batch.num_tokens();
    const bool training = dropout != nullptr;
    const auto in = layer_batch(batch);
    embedding_.forward(batch, values_, training ? dropout->embedding() : Dropout{},
                       memory(0, training).stream.reserve(tokens * w), memory(0, training).input.reserve(tokens * w));
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const bool last = i + 1 == layers_.size();
      LayerMemory<T>& own = memory(i, training);
      if (last && pooling_ == Pooling::head) keep_first_tokens(batch, own);
      const std::int64_t size = layers_[i].num_rows(in) * w;
      float* out = last ? output_.reserve(size) : memory(i + 1, training).stream.reserve(size);
      T* out_product = last ? product_output_.reserve(size) : memory(i + 1, training).input.reserve(size);
      layers_[i].forward(in, values_, weights_.of_layer(i, values_), training ? dropout->layer(i) : LayerDropout{}, own,
                         scratch_, out, out_product);
    }
    return pooling_ == Pooling::head ? output_.data() : mean_of_tokens(batch);
  }

  // The residual stream of the last layer is that of each sequence's first token.
  void keep_first_tokens(const PackedTokens& batch, LayerMemory<T>& memory) {
    const std::int64_t w = config_.width;
    float* stream = memory.stream.data();
    for (std::int64_t s = 0; s < batch.num_sequences(); ++s) {
      std::memmove(stream + s * w, stream + batch.offsets[static_cast<std::size_t>(s)] * w,
                   static_cast<std::size_t>(w) * sizeof(float));
    }
  }

  template <class Work>
  void for_each_sequence(const PackedTokens& batch, const Work& work) {
    at::parallel_for(0, batch.num_sequences(), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t s = begin; s < end; ++s) {
        work(s, batch.offsets[static_cast<std::size_t>(s)], batch.offsets[static_cast<std::size_t>(s) + 1]);
      }
    });
  }

  const float* mean_of_tokens(const PackedTokens& batch) {
    const std::int64_t w = config_.width;
    float* means = pooled_.reserve(batch.num_sequences() * w);
    for_each_sequence(batch, [&](std::int64_t s, std::int64_t first, std::int64_t last) {
      float* mean = means + s * w;
      kernels<float>().column_sums(last - first, w, output_.data() + first * w, w, mean);
      for (std::int64_t i = 0; i < w; ++i) mean[i] /= static_cast<float>(last - first);
    });
    return means;
  }

  void backward(const PackedTokens& batch, std::span<const std::int64_t> labels, const float* pooled,
                const StepDropout& dropout) {
    const std::int64_t w = config_.width, tokens = batch.num_tokens();
    float* pooled_gradient = pooled_gradient_.reserve(batch.num_sequences() * w);
    head_.backward(labels, values_, pooled, pooled_gradient, gradients_);
    if (first_trained_ == layers_.size()) return;
    const auto in = layer_batch(batch);
    SplitGradient<T> gradient{gradient_.reserve(tokens * w), nullptr};
    T* more = more_gradient_.reserve(tokens * w);
    const bool first_tokens = pooling_ == Pooling::head;
    if (!first_tokens) spread(batch, pooled_gradient, gradient.sum, false);
    for (std::size_t i = layers_.size(); i-- > first_trained_;) {
      const bool last = i + 1 == layers_.size();
      T* input_gradient = i == first_trained_ && !places_.trains_embeddings ? nullptr : more;
      layers_[i].backward(in, values_, weights_.of_layer(i, values_), dropout.layer(i), memory(i, true), scratch_,
                          last && first_tokens ? SplitGradient<T>{pooled_gradient, nullptr} : gradient, input_gradient,
                          gradients_);
      if (last && first_tokens) spread(batch, pooled_gradient, gradient.sum, true);
      gradient.more = more;
    }
    if (places_.trains_embeddings)
      embedding_.backward(batch, values_, dropout.embedding(), gradient.sum, more, gradients_);
  }

  // A sequence's gradient to its first token, or as that of a mean to all of them.
  void spread(const PackedTokens& batch, const float* from, float* to, bool to_first) {
    const std::int64_t w = config_.width;
    for_each_sequence(batch, [&](std::int64_t s, std::int64_t first, std::int64_t last) {
      const auto length = static_cast<float>(last - first);
      for (std::int64_t row = first; row < last; ++row) {
        for (std::int64_t i = 0; i < w; ++i) {
          const float value = from[s * w + i];
          to[row * w + i] = !to_first ? value / length : row == first ? value : 0.0F;
        }
      }
    });
  }

  const TransformerConfig& config_;
  const NetworkPlaces& places_;
  Pooling pooling_;
  std::size_t first_trained_;
  const float* values_;
  float* gradients_;
  Embedding<T> embedding_;
  ClassificationHead head_;
  std::vector<EncoderLayer<T>> layers_;
  std::vector<LayerMemory<T>> memory_;
  LayerScratch<T> scratch_;
  ProductWeights<T> weights_;
  bool was_fitted_ = false;
  std::vector<std::int64_t> row_numbers_, part_offsets_;
  Buffer<float> output_, pooled_, pooled_gradient_, gradient_;
  Buffer<T> product_output_, more_gradient_;
};

}  // namespace

template <class T>
std::unique_ptr<Network> make_network(const NetworkDescription& description, const float* values, float* gradients) {
  return std::make_unique<NetworkOf<T>>(description, values, gradients);
}

template std::unique_ptr<Network> make_network<float>(const NetworkDescription&, const float*, float*);
template std::unique_ptr<Network> make_network<Bf16>(const NetworkDescription&, const float*, float*);

}  // namespace fedmpi
