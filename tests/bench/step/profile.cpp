// Tokens per second of the transformer's training step on made-up sequences with the lengths of IMDB reviews, and
// a digest of the last gradients, which must not depend on the threads:
// profile MODEL_DIRECTORY [bf16|float32] [THREADS] [STEPS] [BATCH_SIZE]
#include "fedmpi/digest.hpp"
#include "transformer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <iostream>

#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>

namespace {

using namespace fedmpi;
using Clock = std::chrono::steady_clock;

// Log-normal with median 236, cut at 512: a mean of about 270 and a seventh at the cut.
Batch made_up_batch(RandomStream& random, std::int64_t size, std::int64_t vocabulary) {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> offsets{0}, labels;
  for (std::int64_t i = 0; i < size; ++i) {
    const auto length = static_cast<std::int64_t>(236.0 * std::exp(0.72 * random.normal()));
    for (std::int64_t j = std::clamp<std::int64_t>(length, 8, 512); j > 0; --j) {
      tokens.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary))));
    }
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
    labels.push_back(i % 2);
  }
  return {at::tensor(tokens, at::kInt), at::tensor(offsets, at::kLong), {}, at::tensor(labels, at::kLong)};
}

void bench(const std::string& directory, bool bf16, int num_steps, std::int64_t batch_size) {
  Transformer model(Options(transformer_options, {{"path", directory}}, "profile"));
  const Layout& layout = model.layout();
  const at::Tensor values = at::zeros({layout.size()}), gradients = at::zeros({layout.trainable_size()});
  const RandomKey key = random_key(1, Purpose::synthetic);
  model.initialize(values, key);
  model.bind(values, gradients, bf16 ? Precision::bf16 : Precision::float32);
  RandomStream random(key);
  std::vector<Batch> batches;
  for (int i = 0; i < num_steps; ++i) batches.push_back(made_up_batch(random, batch_size, 30000));
  for (const Batch& batch : batches) model.fit(batch, key);
  std::clock_t processor_time = 0;
  double fit_seconds = 0.0, evaluate_seconds = 0.0;
  std::int64_t num_tokens = 0;
  for (const Batch& batch : batches) {
    num_tokens += batch.tokens.numel();
    const auto start = Clock::now();
    const std::clock_t processor_start = std::clock();
    model.values_changed();
    model.fit(batch, derive(key, static_cast<std::uint64_t>(num_tokens)));
    const auto middle = Clock::now();
    processor_time += std::clock() - processor_start;
    model.evaluate(batch, at::empty_like(batch.labels));
    fit_seconds += std::chrono::duration<double>(middle - start).count();
    evaluate_seconds += std::chrono::duration<double>(Clock::now() - middle).count();
  }
  std::cout << (bf16 ? "bf16" : "float32") << ", " << at::get_num_threads() << " threads: fit "
            << static_cast<std::int64_t>(static_cast<double>(num_tokens) / fit_seconds) << " tokens/s ("
            << 1000.0 * fit_seconds / num_steps << " ms a step of " << num_tokens / num_steps << " tokens, "
            << 1000.0 * static_cast<double>(processor_time) / CLOCKS_PER_SEC / num_steps
            << " ms of processor time), evaluate "
            << static_cast<std::int64_t>(static_cast<double>(num_tokens) / evaluate_seconds) << " tokens/s; gradients "
            << digest(gradients) << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: profile MODEL_DIRECTORY [bf16|float32] [THREADS] [STEPS] [BATCH_SIZE]\n";
    return 2;
  }
  try {
    at::set_num_threads(argc > 3 ? std::stoi(argv[3]) : 1);
    bench(argv[1], argc <= 2 || std::string(argv[2]) == "bf16", argc > 4 ? std::stoi(argv[4]) : 5,
          argc > 5 ? std::stoi(argv[5]) : 32);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
