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

// The matrices of neighbouring layers as the products read them, at the same offsets as in the flat buffer.
template <class T>
class ProductWeights {
 public:
  const T* get(const float* values, std::span<const LayerOffsets> layers) {
    if (layers.empty()) return nullptr;
    const std::int64_t begin = layers.front().qkv_weight, end = layers.back().end;
    if constexpr (std::is_same_v<T, float>) {
      return values;
    } else {
      T* copies = copies_.reserve(end - begin);
      if (stale_) {
        at::parallel_for(begin, end, 1 << 16, [&](std::int64_t first, std::int64_t last) {
          kernels<T>().from_float(values + first, copies + (first - begin), last - first);
        });
        stale_ = false;
      }
      return copies - begin;
    }
  }
  void forget() { stale_ = true; }

 private:
  Buffer<T> copies_;
  bool stale_ = true;
};

template <class T>
class NetworkOf final : public Network {
 public:
  NetworkOf(const NetworkDescription& description, const float* values, float* gradients)
      : config_{description.config},
        offsets_{description.offsets},
        pooling_{description.pooling},
        num_frozen_{static_cast<std::size_t>(description.offsets.num_frozen_layers)},
        values_{values},
        gradients_{gradients},
        embedding_(description.config, description.offsets),
        head_(description.config, description.offsets, description.num_labels) {
    for (const LayerOffsets& layer : offsets_.layers) {
      const bool last = layers_.size() + 1 == offsets_.layers.size();
      layers_.emplace_back(config_, layer, last && pooling_ == Pooling::head);
    }
  }

  void values_changed() override {
    frozen_weights_.forget();
    trained_weights_.forget();
  }
  const float* logits() const override { return head_.logits(); }

  // A batch that would keep too much for its backward is fitted in parts, one after another; gradients add up anyway.
  BatchResult fit(const PackedTokens& batch, std::span<const std::int64_t> labels, RandomKey key) override {
    memory_.resize(std::max<std::size_t>(layers_.size() - num_frozen_, 1));
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
      result.num_correct += own.num_correct;
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

  const T* weights(std::size_t layer) {
    const std::span layers(offsets_.layers);
    return layer < num_frozen_ ? frozen_weights_.get(values_, layers.first(num_frozen_))
                               : trained_weights_.get(values_, layers.subspan(num_frozen_));
  }
  // Layers that no backward visits, frozen ones and those of an evaluation, share the first.
  LayerMemory<T>& memory(std::size_t layer, bool training) {
    return memory_[training && layer > num_frozen_ ? layer - num_frozen_ : 0];
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
      layers_[i].forward(in, values_, weights(i), training ? dropout->layer(i) : LayerDropout{}, own, scratch_, out,
                         out_product);
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
    if (num_frozen_ == layers_.size() && offsets_.frozen_embeddings) return;
    const auto in = layer_batch(batch);
    SplitGradient<T> gradient{gradient_.reserve(tokens * w), nullptr};
    T* more = more_gradient_.reserve(tokens * w);
    const bool first_tokens = pooling_ == Pooling::head;
    if (!first_tokens) spread(batch, pooled_gradient, gradient.sum, false);
    for (std::size_t i = layers_.size(); i-- > num_frozen_;) {
      const bool last = i + 1 == layers_.size();
      T* input_gradient = i == num_frozen_ && offsets_.frozen_embeddings ? nullptr : more;
      layers_[i].backward(in, values_, weights(i), dropout.layer(i), memory(i, true), scratch_,
                          last && first_tokens ? SplitGradient<T>{pooled_gradient, nullptr} : gradient, input_gradient,
                          gradients_);
      if (last && first_tokens) spread(batch, pooled_gradient, gradient.sum, true);
      gradient.more = more;
    }
    if (!offsets_.frozen_embeddings)
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
  const NetworkOffsets& offsets_;
  Pooling pooling_;
  std::size_t num_frozen_;
  const float* values_;
  float* gradients_;
  Embedding<T> embedding_;
  ClassificationHead head_;
  std::vector<EncoderLayer<T>> layers_;
  std::vector<LayerMemory<T>> memory_;
  LayerScratch<T> scratch_;
  ProductWeights<T> frozen_weights_, trained_weights_;
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
