#include "client.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/random.hpp"
#include "stopwatch.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

ClientTrainer::ClientTrainer(const Job& job, Model& model, const Dataset& dataset, const Strategy& strategy)
    : job_{job},
      model_{model},
      dataset_{dataset},
      strategy_{strategy},
      values_{at::zeros({model.layout().size()}, at::kFloat)},
      gradients_{at::zeros({model.layout().trainable_size()}, at::kFloat)},
      update_{values_.narrow(0, 0, model.layout().shared_size())} {
  model_.bind(values_, gradients_, job.training.precision);
}

void ClientTrainer::load(const at::Tensor& global) {
  values_.copy_(global);
  model_.values_changed();
}

FitRecord ClientTrainer::fit(std::int64_t client, std::span<const std::int64_t> examples, int round,
                             const at::Tensor& global, const std::function<void(std::int64_t)>& advance) {
  const Stopwatch stopwatch;
  if (!optimizer_)
    optimizer_ = make_optimizer(job_.training, model_.layout(), values_.narrow(0, 0, gradients_.numel()), gradients_);
  optimizer_->reset();
  load(global);

  const RandomKey shuffle_key = random_key(job_.run.seed, Purpose::shuffle, round, client);
  const RandomKey dropout_key = random_key(job_.run.seed, Purpose::dropout, round, client);
  const auto batch_size = static_cast<std::size_t>(job_.training.batch_size);
  const auto steps_per_epoch = (examples.size() + batch_size - 1) / batch_size;
  const double num_steps = static_cast<double>(steps_per_epoch) * job_.training.local_epochs;
  const auto lengths = dataset_.lengths(Split::train);

  FitRecord record{.client = client, .num_examples = static_cast<std::int64_t>(examples.size())};
  double loss_sum = 0.0;
  for (int epoch = 0; epoch < job_.training.local_epochs; ++epoch) {
    std::vector<std::int64_t> order(examples.begin(), examples.end());
    RandomStream{derive(shuffle_key, static_cast<std::uint64_t>(epoch))}.shuffle(order);
    for (std::size_t begin = 0; begin < order.size(); begin += batch_size) {
      const auto chosen = std::span(order).subspan(begin, std::min(batch_size, order.size() - begin));
      const double progress = (round - 1 + static_cast<double>(record.num_steps) / num_steps) / job_.run.rounds;
      const BatchResult result =
          step(dataset_.batch(Split::train, chosen), derive(dropout_key, static_cast<std::uint64_t>(record.num_steps)),
               schedule_factor(job_.training, progress), global);
      ++record.num_steps;
      if (!std::isfinite(result.loss_sum))
        throw Error(
            fmt::format("the loss is not finite at step {}: lower training.learning_rate or set "
                        "training.max_gradient_norm",
                        record.num_steps));
      loss_sum += result.loss_sum;
      std::int64_t tokens = 0;
      for (const std::int64_t example : chosen) tokens += lengths[static_cast<std::size_t>(example)];
      record.num_tokens += tokens;
      advance(tokens);
    }
  }
  record.loss = loss_sum / (static_cast<double>(record.num_examples) * job_.training.local_epochs);
  update_.sub_(global.narrow(0, 0, update_.numel()));
  record.weight = strategy_.weight(record);
  strategy_.transform_update(update_, record);
  record.seconds = stopwatch.seconds();
  return record;
}

BatchResult ClientTrainer::step(const Batch& batch, RandomKey key, double learning_rate_factor,
                                const at::Tensor& global) {
  gradients_.zero_();
  const BatchResult result = model_.fit(batch, key);
  const std::int64_t shared = update_.numel();
  strategy_.adjust_gradients(gradients_.narrow(0, 0, shared), update_, global.narrow(0, 0, shared));
  if (job_.training.max_gradient_norm > 0.0) clip_gradient_norm(gradients_, job_.training.max_gradient_norm);
  optimizer_->step(learning_rate_factor);
  model_.values_changed();
  return result;
}

}  // namespace fedmpi
