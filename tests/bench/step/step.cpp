// Training steps of the transformer plugin on chosen examples of a shard, as a client takes them. step.py runs this.
// step MODEL_DIRECTORY SHARD bf16|float32 THREADS < one line of example numbers a step
// Prints one line a step: seconds of the training step, tokens, seconds of an evaluation of the same batch.
#include "fedmpi/shard.hpp"
#include "optimizer.hpp"
#include "stopwatch.hpp"
#include "transformer.hpp"

#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>

namespace {

using namespace fedmpi;

Batch batch_of(const Shard& shard, const std::vector<std::int64_t>& examples) {
  const auto begins = shard.offsets.accessor<std::int64_t, 1>();
  std::vector<at::Tensor> tokens;
  std::vector<std::int64_t> offsets{0};
  for (const std::int64_t example : examples) {
    tokens.push_back(shard.tokens.slice(0, begins[example], begins[example + 1]));
    offsets.push_back(offsets.back() + tokens.back().numel());
  }
  return {at::cat(tokens),
          at::tensor(offsets, at::kLong),
          {},
          shard.labels.index_select(0, at::tensor(examples, at::kLong))};
}

void run(const std::string& directory, const std::string& shard_path, Precision precision) {
  const Shard shard = read_shard(shard_path);
  Transformer model(Options(transformer_options, {{"path", directory}}, "step"));
  const std::int64_t size = model.layout().trainable_size();
  const at::Tensor values = at::zeros({model.layout().size()}), gradients = at::zeros({size});
  const RandomKey key = random_key(1, Purpose::synthetic);
  model.initialize(values, key);
  model.bind(values, gradients, precision);
  const auto optimizer = make_optimizer({.learning_rate = 5e-5}, model.layout(), values.narrow(0, 0, size), gradients);
  std::string line;
  for (std::uint64_t number = 0; std::getline(std::cin, line); ++number) {
    std::istringstream words(line);
    const std::vector<std::int64_t> examples{std::istream_iterator<std::int64_t>(words), {}};
    const Batch batch = batch_of(shard, examples);
    const Stopwatch step;
    model.fit(batch, derive(key, number));
    optimizer->step(1.0);
    model.values_changed();
    const double step_seconds = step.seconds();
    const Stopwatch evaluation;
    model.evaluate(batch, at::empty_like(batch.labels));
    std::cout << step_seconds << " " << batch.tokens.numel() << " " << evaluation.seconds() << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: step MODEL_DIRECTORY SHARD bf16|float32 THREADS\n";
    return 2;
  }
  try {
    at::set_num_threads(std::stoi(argv[4]));
    run(argv[1], argv[2], std::string(argv[3]) == "bf16" ? Precision::bf16 : Precision::float32);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
