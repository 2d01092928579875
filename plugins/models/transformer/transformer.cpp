#include "transformer.hpp"

#include "device_network.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/safetensors_writer.hpp"
#include "hugging_face.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <fmt/format.h>

namespace fedmpi {
namespace {

TransformerConfig read_config(const std::filesystem::path& path, const Options& options) {
  TransformerConfig config = read_transformer_config(path / "config.json");
  if (options.has("dropout")) config.dropout = options.get<double>("dropout");
  if (options.has("attention_dropout")) config.attention_dropout = options.get<double>("attention_dropout");
  if (options.has("classifier_dropout")) config.classifier_dropout = options.get<double>("classifier_dropout");
  return config;
}

std::filesystem::path checked_directory(std::filesystem::path path) {
  std::error_code ignored;
  const auto refuse = [&](const std::string& what) {
    throw FileError(
        fmt::format("{} {}: model.path names a directory with config.json, model.safetensors and vocab.txt, as "
                    "save_pretrained of transformers writes it, and data/get_minilm.sh of fedmpi for a small model",
                    path.string(), what),
        path);
  };
  if (!std::filesystem::is_directory(path, ignored)) refuse("is not a directory that is there");
  for (const char* name : {"config.json", "model.safetensors"})
    if (!std::filesystem::exists(path / name, ignored)) refuse(fmt::format("holds no {}", name));
  return path;
}

NetworkDescription describe(const std::filesystem::path& path, const Options& options) {
  return {.config = read_config(path, options),
          .places = {},
          .num_labels = options.get<std::int64_t>("num_labels"),
          .pooling = options.get<std::string>("pooling") == "mean" ? Pooling::mean : Pooling::head};
}

// How many of the last layers are trained; nullopt: everything.
std::optional<std::int64_t> trained_layers(const Options& options) {
  if (!options.has("train_layers")) return std::nullopt;
  if (options.get<std::int64_t>("lora_rank") > 0)
    throw UserError("model.lora_rank trains adapters and the head alone: leave out model.train_layers");
  return options.get<std::int64_t>("train_layers");
}

AdapterChoices adapters_of(const Options& options) {
  AdapterChoices choices{
      .rank = options.get<std::int64_t>("lora_rank"), .alpha = options.get<double>("lora_alpha"), .targets = {}};
  if (!options.has("lora_targets")) return choices;
  choices.targets = options.get<std::vector<std::string>>("lora_targets");
  if (choices.targets.empty()) throw UserError("model.lora_targets is empty: leave it out for query and value");
  if (choices.rank == 0) throw UserError("model.lora_targets has no use without model.lora_rank");
  return choices;
}

PackedTokens tokens_of(const Batch& batch) {
  return {{batch.tokens.const_data_ptr<std::int32_t>(), static_cast<std::size_t>(batch.tokens.numel())},
          {batch.offsets.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(batch.offsets.numel())}};
}

std::span<const std::int64_t> labels_of(const Batch& batch) {
  return {batch.labels.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(batch.labels.numel())};
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw Error(fmt::format("{} could not be written: is the disk full?", path.string()));
}

}  // namespace

Transformer::Transformer(const Options& options)
    : path_{checked_directory(options.get<std::string>("path"))},
      lora_alpha_{options.get<double>("lora_alpha")},
      digest_{digest_file(path_ / "config.json")},
      vocabulary_digest_{std::filesystem::exists(path_ / "vocab.txt") ? digest_file(path_ / "vocab.txt") : ""},
      file_{path_ / "model.safetensors"},
      description_{describe(path_, options)} {
  set_layout(make_layout(description_.config,
                         {.num_labels = description_.num_labels,
                          .pooling = description_.pooling,
                          .head_learning_rate = options.get<double>("head_learning_rate"),
                          .train_layers = trained_layers(options),
                          .adapters = adapters_of(options)},
                         file_));
}

void Transformer::set_layout(Layout layout) {
  description_.places = find_places(layout, description_.config, lora_alpha_);
  layout_ = std::move(layout);
}

void Transformer::initialize(at::Tensor values, RandomKey key) {
  initial_values(layout_, description_.config, file_, key, std::move(values));
}

void Transformer::bind(at::Tensor values, at::Tensor gradients, Precision precision) {
  values_ = std::move(values);
  gradients_ = std::move(gradients);
  if (!values_.is_cpu()) {
    network_ = make_device_network(description_, values_, gradients_, precision);
    return;
  }
  const auto make = precision == Precision::bf16 ? make_network<Bf16> : make_network<float>;
  network_ = make(description_, values_.const_data_ptr<float>(), gradients_.mutable_data_ptr<float>());
}

void Transformer::values_changed() {
  network_->values_changed();
}

void Transformer::check(const Batch& batch) const {
  if (!batch.tokens.defined()) {
    throw UserError(
        "the model 'transformer' needs text, but the dataset has features; choose another model or dataset");
  }
  const PackedTokens tokens = tokens_of(batch);
  const TransformerConfig& config = description_.config;
  for (const std::int32_t token : tokens.tokens) {
    if (token < 0 || token >= config.vocabulary_size) {
      throw UserError(
          fmt::format("token {} is not in the vocabulary of {} words of {}; prepare the data with its vocab.txt", token,
                      config.vocabulary_size, path_.string()));
    }
  }
  for (std::size_t i = 0; i + 1 < tokens.offsets.size(); ++i) {
    const std::int64_t length = tokens.offsets[i + 1] - tokens.offsets[i];
    if (length < 1 || length > config.max_positions) {
      throw UserError(
          fmt::format("an example has {} tokens, but the model in {} takes 1 to {}; truncate when preparing", length,
                      path_.string(), config.max_positions));
    }
  }
  for (const std::int64_t label : labels_of(batch)) {
    if (label < 0 || label >= description_.num_labels) {
      throw UserError(fmt::format("an example has the label {}, but num_labels is {}", label, description_.num_labels));
    }
  }
  if (tokens.offsets.size() != labels_of(batch).size() + 1 || tokens.offsets.front() != 0 ||
      tokens.offsets.back() != tokens.num_tokens()) {
    throw std::logic_error("Transformer: a batch whose offsets do not fit its tokens and labels");
  }
}

PackedTokens Transformer::packed(const Batch& batch) const {
  if (network_ == nullptr) throw std::logic_error("Transformer: fit or evaluate before bind");
  check(batch);  // what it let through would be read out of bounds
  return tokens_of(batch);
}

BatchResult Transformer::fit(const Batch& batch, RandomKey key) {
  const PackedTokens tokens = packed(batch);
  gradients_.zero_();
  return network_->fit(tokens, labels_of(batch), key);
}

BatchResult Transformer::evaluate(const Batch& batch, at::Tensor predictions) {
  const PackedTokens tokens = packed(batch);
  last_batch_size_ = tokens.num_sequences();
  const BatchResult result = network_->evaluate(tokens, labels_of(batch));
  auto* predicted = predictions.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < last_batch_size_; ++i) {
    const float* scores = network_->logits() + i * description_.num_labels;
    predicted[i] = std::max_element(scores, scores + description_.num_labels) - scores;
  }
  return result;
}

std::vector<std::string> Transformer::export_to(const std::filesystem::path& directory, const at::Tensor& values,
                                                std::span<const std::string> label_names) const {
  const std::filesystem::path vocabulary_path = path_ / "vocab.txt";
  if (vocabulary_digest_.empty())
    throw FileError(fmt::format("{} is not there: put the vocabulary there that the data were prepared with",
                                vocabulary_path.string()),
                    vocabulary_path);
  std::ifstream file(vocabulary_path, std::ios::binary);
  const std::string vocabulary{std::istreambuf_iterator<char>(file), {}};
  if (fedmpi::digest(std::string_view(vocabulary)) != vocabulary_digest_)
    throw FileError(fmt::format("{} was changed while it was in use", vocabulary_path.string()), vocabulary_path);
  write_safetensors(directory / "model.safetensors", merged_tensors(layout_, values, lora_alpha_));
  write_text(directory / "vocab.txt", vocabulary);
  write_text(directory / "tokenizer_config.json", tokenizer_config(path_, description_.config, vocabulary));
  write_text(directory / "config.json",
             classifier_config(path_, description_.config, description_.pooling, description_.num_labels, label_names));
  std::vector<std::string> files{"vocab.txt", "tokenizer_config.json", "model.safetensors"};
  if (description_.pooling == Pooling::mean) {
    write_text(directory / "mean_pooling.py", mean_pooling_code(description_.config));
    files.emplace_back("mean_pooling.py");
  }
  files.emplace_back("config.json");
  return files;
}

at::Tensor Transformer::logits() const {
  return matrix(network_->logits(), last_batch_size_, description_.num_labels).clone();
}

}  // namespace fedmpi
