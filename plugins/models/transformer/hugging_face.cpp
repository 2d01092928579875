#include "hugging_face.hpp"

#include "fedmpi/error.hpp"

#include <algorithm>
#include <sstream>
#include <string_view>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fedmpi {
namespace {

using Json = nlohmann::ordered_json;

bool is_bert(const TransformerConfig& config) {
  return config.family == TransformerConfig::Family::bert;
}

// Special tokens, [CLS] and the like, say nothing.
bool has_capitals(const std::string& vocabulary) {
  std::istringstream lines(vocabulary);
  for (std::string word; std::getline(lines, word);)
    if (!word.starts_with('[') && std::ranges::any_of(word, [](char c) { return c >= 'A' && c <= 'Z'; })) return true;
  return false;
}

bool lower_cases(const std::filesystem::path& source, const std::string& vocabulary) {
  const std::filesystem::path file = source / "tokenizer_config.json";
  if (!std::filesystem::exists(file)) return !has_capitals(vocabulary);
  const Json given = read_json_object(file);
  if (!given.contains("do_lower_case")) return !has_capitals(vocabulary);
  if (!given["do_lower_case"].is_boolean())
    throw FileError(fmt::format("{}: 'do_lower_case' must be true or false", file.string()), file);
  return given["do_lower_case"];
}

}  // namespace

std::vector<NamedTensor> merged_tensors(const Layout& layout, const at::Tensor& values, double alpha) {
  std::vector<NamedTensor> tensors;
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    const std::string& name = layout.spec(i).name;
    if (name.ends_with(down_name) || name.ends_with(up_name)) continue;
    const std::string module = name.substr(0, name.rfind('.'));
    const auto down = layout.find(module + down_name), up = layout.find(module + up_name);
    at::Tensor tensor = layout.view(values, i);
    if (down && up && name.ends_with(".weight")) {
      const at::Tensor change =
          at::mm(layout.view(values, *up).to(at::kDouble), layout.view(values, *down).to(at::kDouble));
      const double scale = alpha / static_cast<double>(layout.spec(*up).shape[1]);
      tensor = tensor.to(at::kDouble).add(change, scale).to(at::kFloat);
    }
    tensors.push_back({name, tensor});
  }
  return tensors;
}

std::string classifier_config(const std::filesystem::path& source, const TransformerConfig& config, Pooling pooling,
                              std::int64_t num_labels, std::span<const std::string> label_names) {
  Json json = read_json_object(source / "config.json");
  // What speaks of other classes, types, labels or files than these.
  for (const char* key : {"_name_or_path", "auto_map", "dtype", "finetuning_task", "num_labels", "quantization_config"})
    json.erase(key);
  const std::string type = is_bert(config) ? "bert" : "distilbert";
  if (pooling == Pooling::mean) {
    // A type that transformers does not know: it would else take a head of random numbers.
    json["model_type"] = type + "_mean_pooling";
    json["architectures"] = {"MeanPoolingForSequenceClassification"};
    json["auto_map"] = {{"AutoConfig", "mean_pooling.MeanPoolingConfig"},
                        {"AutoModelForSequenceClassification", "mean_pooling.MeanPoolingForSequenceClassification"}};
  } else {
    json["model_type"] = type;
    json["architectures"] = {is_bert(config) ? "BertForSequenceClassification" : "DistilBertForSequenceClassification"};
  }
  json["torch_dtype"] = "float32";
  json["problem_type"] = num_labels == 1 ? "regression" : "single_label_classification";
  Json names = Json::object(), numbers = Json::object();
  for (std::int64_t label = 0; label < num_labels; ++label) {
    const std::string name =
        label < std::ssize(label_names) ? label_names[static_cast<std::size_t>(label)] : fmt::format("LABEL_{}", label);
    names[fmt::format("{}", label)] = name;
    numbers[name] = label;
  }
  json["id2label"] = std::move(names);
  json["label2id"] = std::move(numbers);
  return json.dump(2) + "\n";
}

std::string tokenizer_config(const std::filesystem::path& source, const TransformerConfig& config,
                             const std::string& vocabulary) {
  return Json{{"tokenizer_class", is_bert(config) ? "BertTokenizer" : "DistilBertTokenizer"},
              {"do_lower_case", lower_cases(source, vocabulary)},
              {"model_max_length", config.max_positions},
              {"tokenize_chinese_chars", true},
              {"strip_accents", nullptr},
              {"unk_token", "[UNK]"},
              {"sep_token", "[SEP]"},
              {"pad_token", "[PAD]"},
              {"cls_token", "[CLS]"},
              {"mask_token", "[MASK]"}}
             .dump(2) +
         "\n";
}

}  // namespace fedmpi
