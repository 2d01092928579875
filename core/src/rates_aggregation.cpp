// What a rank does of a round after the fits.
#include "fedmpi/checkpoint.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/one_thread.hpp"
#include "rates.hpp"
#include "slices.hpp"
#include "stopwatch.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

namespace fedmpi {

namespace {

constexpr std::int64_t most_saved_bytes = 64'000'000;
constexpr std::size_t line_length = 700, most_lines = 10'000;  // of a checkpoint's history

}  // namespace

void RateMeasurement::slice(std::span<const FitRecord> records, int round) {
  Strategy& strategy = *experiment_.strategy;
  std::vector<std::vector<std::int64_t>> clients(1);
  for (const FitRecord& record : records) clients[0].push_back(record.client);
  const FitRound all{.round = round, .num_clients = experiment_.job.federation.clients, .records = records};
  const Slices slices(clients, state_.parameters.numel());
  const std::int64_t length = slices.share(0, 0).length;
  at::Tensor updates = at::randn({std::ssize(records), length}, at::kFloat).mul_(1e-3);
  at::Tensor vectors = state_.server_vectors.narrow(1, 0, length).clone().cpu();
  for (int turn = 0; turn < 2; ++turn) {  // the first is not timed
    const Stopwatch stopwatch;
    if (strategy.exchange().products) {
      const at::Tensor products = slices.products(updates, vectors);
      const OneThread one_thread;
      const auto chosen = strategy.compare(products, all);
      clients[0].clear();
      for (const std::int64_t row : chosen) clients[0].push_back(records[static_cast<std::size_t>(row)].client);
      rates_.num_chosen = std::ssize(chosen);
    }
    const Slices some(clients, state_.parameters.numel());
    const at::Tensor travels = updates.narrow(0, 0, std::ssize(clients[0])).clone();
    some.aggregate(strategy, all, travels, state_.parameters.narrow(0, 0, length).clone().cpu(), vectors);
    rates_.slice_seconds = stopwatch.seconds();
  }
}

ServerTrial RateMeasurement::serve(FederatedState& state, std::span<const FitRecord> records, int round,
                                   const std::filesystem::path& directory) const {
  ServerTrial trial;
  double total_weight = 0.0;
  for (const FitRecord& record : records) total_weight += record.weight;
  at::Tensor next;
  if (experiment_.strategy->exchange().aggregation == Aggregation::slices)
    next = at::cat({state.parameters.unsqueeze(0), state.server_vectors});
  const Stopwatch advance_stopwatch;
  const at::Tensor mean = host_.sum().mean(std::max(total_weight, 1.0));
  state.advance({.round = round, .num_clients = experiment_.job.federation.clients, .records = records}, mean, next);
  trial.seconds.advance = advance_stopwatch.seconds();
  trial.mean_bytes = static_cast<std::int64_t>(mean.nbytes());

  const auto num_rounds = static_cast<std::size_t>(experiment_.job.run.rounds);
  const Stopwatch record_stopwatch;
  const ServerState saved = state.save();
  Checkpoint checkpoint{
      .round = round,
      .digest = digest(saved.global),
      .layout = experiment_.model->layout(),
      .parameters = saved.global.clone(),
      .strategy_state = saved.strategy,
      .job = experiment_.resolved_job,
      .dataset_digest = experiment_.dataset->digest(),
      .label_names = experiment_.dataset->label_names(),
      .model_digest = experiment_.model->digest(),
      .history = std::vector(std::min<std::size_t>(num_rounds, most_lines), std::string(line_length, ' ')),
      .versions = experiment_.versions};
  std::int64_t bytes = static_cast<std::int64_t>(checkpoint.parameters.nbytes());
  for (NamedTensor& one : checkpoint.strategy_state) {
    one.tensor = one.tensor.clone();
    bytes += static_cast<std::int64_t>(one.tensor.nbytes());
  }
  trial.seconds.record = record_stopwatch.seconds();

  // Of a large one a part is enough.
  double share = 1.0;
  if (bytes > most_saved_bytes) {
    share = static_cast<double>(most_saved_bytes) / static_cast<double>(bytes);
    checkpoint.parameters = checkpoint.parameters.narrow(
        0, 0, std::min(checkpoint.parameters.numel(), most_saved_bytes / static_cast<std::int64_t>(sizeof(float))));
    checkpoint.strategy_state.clear();
  }
  const std::filesystem::path file = checkpoint_path(directory, round);
  const Stopwatch save_stopwatch;
  save_checkpoint(file, checkpoint);
  trial.seconds.save = save_stopwatch.seconds() / share;
  const auto written = static_cast<std::int64_t>(std::filesystem::file_size(file));
  trial.checkpoint_bytes = share < 1.0 ? bytes : written;
  std::filesystem::remove(file);
  return trial;
}

double copy_bytes_per_second() {
  const OneThread one_thread;
  const at::Tensor from = at::ones({1 << 24}, at::kByte), to = at::empty_like(from);
  to.copy_(from);
  const Stopwatch stopwatch;
  for (int i = 0; i < 4; ++i) to.copy_(from);
  return 4.0 * static_cast<double>(from.nbytes()) / stopwatch.seconds();
}

}  // namespace fedmpi
