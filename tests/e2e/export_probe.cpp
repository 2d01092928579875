// The logits of a transformer's checkpoint as the program itself computes them, for export.py to compare:
// export_probe CHECKPOINT BATCH.json OUT.json, BATCH.json: [[token ids]]; in float32.
#include "fedmpi/checkpoint.hpp"
#include "fedmpi/job.hpp"
#include "transformer.hpp"

#include <fstream>
#include <iostream>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

namespace {

using namespace fedmpi;

Batch read_batch(const std::string& path) {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> offsets{0};
  for (const auto& sequence : nlohmann::json::parse(std::ifstream(path))) {
    for (const auto& token : sequence) tokens.push_back(token.get<std::int32_t>());
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
  }
  const at::Tensor labels = at::zeros({static_cast<std::int64_t>(offsets.size()) - 1}, at::kLong);
  return {at::tensor(tokens, at::kInt), at::tensor(offsets, at::kLong), {}, labels};
}

void probe(const std::string& path, const std::string& batch_path, const std::string& out) {
  const Checkpoint checkpoint = load_checkpoint(path);
  const Job job = parse_job(checkpoint.job, path, {});
  Transformer model(plugin_options(job.model, transformer_options, "model", job));
  const at::Tensor gradients = at::zeros({model.layout().trainable_size()});
  model.bind(checkpoint.parameters, gradients, Precision::float32);
  const Batch batch = read_batch(batch_path);
  model.evaluate(batch, at::empty_like(batch.labels));
  const at::Tensor logits = model.logits();
  nlohmann::json rows;
  for (std::int64_t i = 0; i < logits.size(0); ++i)
    rows.push_back(
        std::vector<float>(logits[i].const_data_ptr<float>(), logits[i].const_data_ptr<float>() + logits.size(1)));
  std::ofstream(out) << rows;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: export_probe CHECKPOINT BATCH.json OUT.json\n";
    return 2;
  }
  try {
    probe(argv[1], argv[2], argv[3]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
