// What the transformer computes for one batch, for transformer_parity.py to compare:
// transformer_probe MODEL_DIRECTORY POOLING BATCH.json OUT
// BATCH.json: {"sequences": [[token ids]], "labels": [], "num_labels": 2}. Writes OUT.json (loss, logits, where the
// tensors lie) and OUT.values and OUT.gradients, the flat buffers as raw float32. Without dropout, in float32.
#include "transformer.hpp"

#include <fstream>
#include <iostream>
#include <map>

#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>
#include <nlohmann/json.hpp>

namespace {

using namespace fedmpi;

Batch read_batch(const nlohmann::json& json) {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> offsets{0};
  for (const auto& sequence : json["sequences"]) {
    for (const auto& token : sequence) tokens.push_back(token.get<std::int32_t>());
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
  }
  const auto labels = json["labels"].get<std::vector<std::int64_t>>();
  return {at::tensor(tokens, at::kInt), at::tensor(offsets, at::kLong), {}, at::tensor(labels, at::kLong)};
}

void write_raw(const std::string& path, const at::Tensor& tensor) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(tensor.const_data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
  if (!file.flush()) throw std::runtime_error(path + " cannot be written");
}

void probe(const std::string& directory, const std::string& pooling, const std::string& batch_path,
           const std::string& out) {
  const nlohmann::json json = nlohmann::json::parse(std::ifstream(batch_path));
  const Batch batch = read_batch(json);
  const Options options(transformer_options,
                        {{"path", directory},
                         {"pooling", pooling},
                         {"num_labels", json["num_labels"].get<std::int64_t>()},
                         {"dropout", 0.0},
                         {"attention_dropout", 0.0},
                         {"classifier_dropout", 0.0}},
                        "transformer_probe");
  Transformer model(options);
  const Layout& layout = model.layout();
  const at::Tensor values = at::zeros({layout.size()}), gradients = at::zeros({layout.trainable_size()});
  model.initialize(values, random_key(1, Purpose::initialise));
  model.bind(values, gradients, Precision::float32);
  const at::Tensor predictions = at::empty_like(batch.labels);
  const BatchResult evaluated = model.evaluate(batch, predictions);
  const at::Tensor logits = model.logits();
  const BatchResult fitted = model.fit(batch, random_key(1, Purpose::dropout));
  nlohmann::json result{
      {"loss", fitted.loss_sum / static_cast<double>(fitted.num_examples)},
      {"evaluate_loss", evaluated.loss_sum / static_cast<double>(evaluated.num_examples)},
      {"predictions", std::vector<std::int64_t>(predictions.const_data_ptr<std::int64_t>(),
                                                predictions.const_data_ptr<std::int64_t>() + predictions.numel())},
      {"logits", std::vector<float>(logits.const_data_ptr<float>(), logits.const_data_ptr<float>() + logits.numel())}};
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    result["tensors"][layout.spec(i).name] = {{"shape", layout.spec(i).shape}, {"offset", layout.offset(i)}};
  }
  write_raw(out + ".values", values);
  write_raw(out + ".gradients", gradients);
  std::ofstream(out + ".json") << result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: transformer_probe MODEL_DIRECTORY POOLING BATCH.json OUT\n";
    return 2;
  }
  try {
    probe(argv[1], argv[2], argv[3], argv[4]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
