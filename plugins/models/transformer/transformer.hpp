#pragma once

#include "fedmpi/model.hpp"
#include "fedmpi/options.hpp"
#include "network.hpp"
#include "safetensors.hpp"

#include <array>
#include <filesystem>
#include <memory>

namespace fedmpi {

inline constexpr std::array transformer_options{
    OptionSpec{"path", OptionType::string, nullptr,
               "directory with config.json, model.safetensors and vocab.txt, as Hugging Face writes it"},
    OptionSpec{"num_labels", OptionType::integer, "2", "classes to tell apart", 2, 65536},
    OptionSpec{"pooling", OptionType::string, "head",
               "head: transformers' own head on the [CLS] token; mean: classifier on the mean of all tokens",
               -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity(), "head|mean"},
    OptionSpec{"train_layers", OptionType::integer, "",
               "train only the head and so many of the last encoder layers, 0: the head alone; without it all, and the "
               "embeddings",
               0, 1e6},
    OptionSpec{"lora_rank", OptionType::integer, "0",
               "train only the head and low-rank adapters (LoRA) of this rank beside the layers' matrices; 0: none", 0,
               4096},
    OptionSpec{"lora_alpha", OptionType::number, "8", "what adapters add is scaled by lora_alpha / lora_rank", 0.0,
               1e6},
    OptionSpec{"lora_targets", OptionType::strings, "",
               "which linear layers have adapters, as PEFT's target_modules names them; without it query and value"},
    OptionSpec{"head_learning_rate", OptionType::number, "0",
               "learning rate of the classifier and of what the head newly initialises; 0: as the rest", 0.0, 1000.0},
    OptionSpec{"dropout", OptionType::number, "", "instead of config.json's, on embeddings and branches", 0.0, 0.99},
    OptionSpec{"attention_dropout", OptionType::number, "", "instead of config.json's, on attention", 0.0, 0.99},
    OptionSpec{"classifier_dropout", OptionType::number, "", "instead of config.json's, before the classifier", 0.0,
               0.99},
};

// A DistilBERT or BERT encoder with a classification head, from a Hugging Face directory.
class Transformer final : public Model {
 public:
  explicit Transformer(const Options& options);

  const Layout& layout() const override { return layout_; }
  void set_layout(Layout layout) override;
  bool runs_on(at::DeviceType) const override { return true; }
  std::int64_t num_labels() const override { return description_.num_labels; }
  void check(const Batch& batch) const override;
  void initialize(at::Tensor values, RandomKey key) override;
  void bind(at::Tensor values, at::Tensor gradients, Precision precision) override;
  void values_changed() override;
  BatchResult fit(const Batch& batch, RandomKey key) override;
  BatchResult evaluate(const Batch& batch, at::Tensor predictions) override;
  std::string digest() const override { return digest_; }
  std::string vocabulary_digest() const override { return vocabulary_digest_; }
  // A directory that transformers opens.
  std::vector<std::string> export_to(const std::filesystem::path& directory, const at::Tensor& values,
                                     std::span<const std::string> label_names) const override;

  // Of the last batch that was evaluated, float32 [examples, num_labels].
  at::Tensor logits() const;

 private:
  PackedTokens packed(const Batch& batch) const;

  std::filesystem::path path_;
  double lora_alpha_;
  std::string digest_, vocabulary_digest_;  // of the files as they were when this was made
  SafetensorsFile file_;
  Layout layout_;
  NetworkDescription description_;
  at::Tensor values_, gradients_;
  std::unique_ptr<Network> network_;
  std::int64_t last_batch_size_ = 0;
};

}  // namespace fedmpi
