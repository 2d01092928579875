#include "network.hpp"

#include <cmath>
#include <cstring>
#include <numeric>

namespace fedmpi {
namespace {

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

// The matrices of all layers as the products read them, at the same offsets as in the flat buffer.
template <class T>
class ProductWeights {
 public:
  // Elements [begin, end) of `values` are wanted.
  const T* get(const float* values, std::int64_t begin, std::int64_t end) {
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
        values_{values},
        gradients_{gradients},
        embedding_(description.config, description.offsets),
        head_(description.config, description.offsets, description.num_labels) {
    for (const LayerOffsets& layer : offsets_.layers) {
      const bool last = layers_.size() + 1 == offsets_.layers.size();
      layers_.emplace_back(config_, layer, last && pooling_ == Pooling::head);
    }
  }

  void values_changed() override { weights_.forget(); }
  const float* logits() const override { return head_.logits(); }

  BatchResult fit(const PackedTokens& batch, std::span<const std::int64_t> labels, RandomKey key) override {
    const StepDropout dropout(config_, key);
    memory_.resize(layers_.size());
    const float* pooled = forward(batch, &dropout);
    const BatchResult result = head_.forward(labels, values_, dropout.head(), pooled);
    backward(batch, labels, pooled, dropout);
    return result;
  }

  BatchResult evaluate(const PackedTokens& batch, std::span<const std::int64_t> labels) override {
    memory_.resize(std::max<std::size_t>(memory_.size(), 1));
    return head_.forward(labels, values_, {}, forward(batch, nullptr));
  }

 private:
  const T* weights() { return weights_.get(values_, offsets_.layers.front().qkv_weight, offsets_.layers.back().end); }

  typename EncoderLayer<T>::Batch layer_batch(const PackedTokens& batch) {
    row_numbers_.resize(static_cast<std::size_t>(batch.num_sequences()) + 1);
    std::iota(row_numbers_.begin(), row_numbers_.end(), std::int64_t{0});
    return {batch.offsets, row_numbers_};
  }

  // Returns the pooled vectors. Without dropout nothing is kept for a backward and all layers share one memory.
  const float* forward(const PackedTokens& batch, const StepDropout* dropout) {
    const std::int64_t w = config_.width, tokens = batch.num_tokens();
    const T* weights_now = weights();
    const auto in = layer_batch(batch);
    LayerMemory<T>* memory = memory_.data();
    embedding_.forward(batch, values_, dropout != nullptr ? dropout->embedding() : Dropout{},
                       memory->stream.reserve(tokens * w), memory->input.reserve(tokens * w));
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const bool last = i + 1 == layers_.size();
      if (last && pooling_ == Pooling::head) keep_first_tokens(batch, *memory);
      LayerMemory<T>* next = dropout == nullptr || last ? memory : memory + 1;
      const std::int64_t size = layers_[i].num_rows(in) * w;
      float* out = last ? output_.reserve(size) : next->stream.reserve(size);
      T* out_product = last ? product_output_.reserve(size) : next->input.reserve(size);
      layers_[i].forward(in, values_, weights_now, dropout != nullptr ? dropout->layer(i) : LayerDropout{}, *memory,
                         scratch_, out, out_product);
      memory = next;
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
    const T* weights_now = weights();
    const auto in = layer_batch(batch);
    float* pooled_gradient = pooled_gradient_.reserve(batch.num_sequences() * w);
    head_.backward(labels, values_, pooled, pooled_gradient, gradients_);
    SplitGradient<T> gradient{gradient_.reserve(tokens * w), nullptr};
    T* more = more_gradient_.reserve(tokens * w);
    std::size_t i = layers_.size();
    if (pooling_ == Pooling::head) {
      --i;
      layers_[i].backward(in, values_, weights_now, dropout.layer(i), memory_[i], scratch_, {pooled_gradient, nullptr},
                          more, gradients_);
      spread(batch, pooled_gradient, gradient.sum, true);
      gradient.more = more;
    } else {
      spread(batch, pooled_gradient, gradient.sum, false);
    }
    for (; i > 0; --i, gradient.more = more) {
      layers_[i - 1].backward(in, values_, weights_now, dropout.layer(i - 1), memory_[i - 1], scratch_, gradient, more,
                              gradients_);
    }
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
  const float* values_;
  float* gradients_;
  Embedding<T> embedding_;
  ClassificationHead head_;
  std::vector<EncoderLayer<T>> layers_;
  std::vector<LayerMemory<T>> memory_;
  LayerScratch<T> scratch_;
  ProductWeights<T> weights_;
  std::vector<std::int64_t> row_numbers_;
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
