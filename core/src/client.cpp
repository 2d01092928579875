#include "client.hpp"

#include "compression.hpp"
#include "evaluation.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/one_thread.hpp"
#include "fedmpi/random.hpp"
#include "stopwatch.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

// Which of a round's fits a stream of random numbers is for: part 0 of a key is the key itself.
constexpr std::uint64_t own_fit = 0, personal_fit = 1, whole_gradient = 2;

RandomKey part_of(RandomKey key, std::uint64_t part) {
  return part == own_fit ? key : derive(key, (std::uint64_t{1} << 32) + part);
}

std::vector<at::Tensor> gaps_of(const Layout& layout, const at::Tensor& gradients) {
  std::vector<at::Tensor> gaps;
  std::int64_t end = 0;
  const auto add = [&](std::int64_t next) {
    if (next > end) gaps.push_back(gradients.narrow(0, end, next - end));
  };
  for (const std::size_t index : layout.order()) {
    if (layout.offset(index) >= layout.shared_parameters_size()) break;
    add(layout.offset(index));
    end = layout.offset(index) + layout.num_elements(index);
  }
  add(layout.shared_parameters_size());
  return gaps;
}

at::Tensor none() {
  return at::empty({0}, at::kFloat);
}

}  // namespace

KeptSizes kept_sizes(const Exchange& exchange, const Layout& layout, const RuleChoice& compression) {
  return {.vectors = exchange.num_client_vectors * layout.shared_parameters_size(),
          .local = layout.trainable_size() - layout.shared_size(),
          .residual = residual_size(compression, 1 + exchange.num_extra_updates, layout.shared_parameters_size())};
}

ClientTrainer::ClientTrainer(const Job& job, Model& model, const Dataset& dataset, const Strategy& strategy,
                             at::Device device)
    : job_{job},
      model_{model},
      dataset_{dataset},
      strategy_{strategy},
      exchange_{strategy.exchange()},
      kept_sizes_{kept_sizes(exchange_, model.layout(), job.federation.compression)},
      values_{at::zeros({model.layout().size()}, at::TensorOptions(at::kFloat).device(device))},
      gradients_{at::zeros({model.layout().trainable_size()}, values_.options())},
      parameters_{values_.narrow(0, 0, model.layout().shared_parameters_size())},
      updates_{parameters_.unsqueeze(0)} {
  gaps_ = gaps_of(model.layout(), gradients_);
  model_.bind(values_, gradients_, job.training.precision);
}

at::Tensor ClientTrainer::statistics() const {
  return values_.narrow(0, parameters_.numel(), model_.layout().shared_size() - parameters_.numel());
}

std::int64_t ClientTrainer::num_passes() const {
  const auto epochs = static_cast<std::int64_t>(strategy_.epochs(job_.training.local_epochs).size());
  return epochs + (exchange_.personal_model ? job_.training.local_epochs : 0);
}

void ClientTrainer::load(const at::Tensor& global) {
  values_.copy_(global);
  model_.values_changed();
}

void ClientTrainer::load(const at::Tensor& global, const at::Tensor& kept) {
  values_.copy_(global);
  if (exchange_.personal_model) parameters_.copy_(kept.narrow(0, 0, parameters_.numel()));
  values_.narrow(0, model_.layout().shared_size(), kept_sizes_.local)
      .copy_(kept.narrow(0, kept_sizes_.vectors, kept_sizes_.local));
  model_.values_changed();
}

// The shared part from the global parameters, the local one as the client left it.
void ClientTrainer::load_local(const ClientTask& task) {
  values_.copy_(task.global);
  if (!task.is_first && kept_sizes_.local > 0)
    values_.narrow(0, model_.layout().shared_size(), kept_sizes_.local)
        .copy_(task.kept.narrow(0, kept_sizes_.vectors, kept_sizes_.local));
  model_.values_changed();
}

FitRecord ClientTrainer::fit(const ClientTask& task, const std::function<void(std::int64_t)>& advance) {
  const Stopwatch stopwatch;
  if (!optimizer_)
    optimizer_ = make_optimizer(job_.training, model_.layout(), values_.narrow(0, 0, gradients_.numel()), gradients_);
  if (exchange_.num_extra_updates > 0 && updates_.size(0) == 1)
    updates_ = at::zeros({1 + exchange_.num_extra_updates, parameters_.numel()}, values_.options());

  const std::int64_t size = parameters_.numel();
  FitRecord record{.client = task.client, .num_examples = static_cast<std::int64_t>(task.examples.size())};
  ClientFit fit{
      .record = record,
      .training = job_.training,
      .is_first = task.is_first,
      .parameters = parameters_,
      .global = task.global.narrow(0, 0, size),
      .server_vectors = task.server_vectors,
      .client_vectors = task.kept.defined()
                            ? task.kept.narrow(0, 0, kept_sizes_.vectors).view({exchange_.num_client_vectors, size})
                            : none(),
      .global_gradient = none()};

  load_local(task);
  start_from_global(task, record, fit);
  if (exchange_.personal_model) {
    const at::Tensor personal = fit.client_vectors[0];
    load(task.global);
    if (!task.is_first) parameters_.copy_(personal);
    model_.values_changed();
    const std::vector<Trained> epochs(static_cast<std::size_t>(job_.training.local_epochs), Trained::all);
    FitRecord apart = record;
    train(task, epochs, &Strategy::adjust_personal_gradients, personal_fit, apart, fit, advance);
    personal.copy_(parameters_);
    record.num_tokens = apart.num_tokens;
    load_local(task);
  }

  const std::vector<Trained> epochs = strategy_.epochs(job_.training.local_epochs);
  fit.sum_of_learning_rates = 0.0;
  const double loss_sum = train(task, epochs, &Strategy::adjust_gradients, own_fit, record, fit, advance);
  record.loss = loss_sum / (static_cast<double>(record.num_examples) * static_cast<double>(epochs.size()));
  if (kept_sizes_.local > 0)
    task.kept.narrow(0, kept_sizes_.vectors, kept_sizes_.local)
        .copy_(values_.narrow(0, model_.layout().shared_size(), kept_sizes_.local));

  const std::int64_t shared = model_.layout().shared_size();
  values_.narrow(0, 0, shared).sub_(task.global.narrow(0, 0, shared));
  if (updates_.size(0) > 1) updates_.zero_()[0].copy_(parameters_);
  if (exchange_.update_norm) record.update_norm = l2_norm(parameters_);
  record.weight = strategy_.weight(record);
  const OneThread one_thread;
  strategy_.finish_fit(updates_, fit);
  record.seconds = stopwatch.seconds();
  return record;
}

// A strategy may have added to all of the gradients, and what it left between the tensors must reach no other step.
BatchResult ClientTrainer::set_gradients(const Batch& batch, RandomKey key) {
  if (gradients_.is_cpu())
    for (const at::Tensor& gap : gaps_) std::fill_n(gap.mutable_data_ptr<float>(), gap.numel(), 0.0F);
  else
    gradients_.zero_();  // at once what would be many small calls
  return model_.fit(batch, key);
}

// What the strategy wants to know of the global parameters on this client's examples.
void ClientTrainer::start_from_global(const ClientTask& task, FitRecord& record, ClientFit& fit) {
  if (!exchange_.initial_loss && !exchange_.global_gradient) return;
  const auto batch_size = static_cast<std::size_t>(job_.training.batch_size);
  const RandomKey key = part_of(random_key(job_.run.seed, Purpose::dropout, task.round, task.client), whole_gradient);
  if (exchange_.global_gradient) {
    if (!global_gradient_.defined()) global_gradient_ = at::empty_like(parameters_);
    global_gradient_.zero_();
    fit.global_gradient = global_gradient_;
  }
  const auto num_examples = static_cast<double>(task.examples.size());
  double loss_sum = 0.0;
  for (std::size_t begin = 0; begin < task.examples.size(); begin += batch_size) {
    const auto chosen = task.examples.subspan(begin, std::min(batch_size, task.examples.size() - begin));
    const Batch batch = dataset_.batch(Split::train, chosen);
    if (exchange_.initial_loss)
      loss_sum += model_.evaluate(batch, no_predictions(std::ssize(chosen), model_.task())).loss_sum;
    if (!exchange_.global_gradient) continue;
    set_gradients(batch, derive(key, begin));
    const OneThread one_thread;
    global_gradient_.add_(gradients_.narrow(0, 0, parameters_.numel()),
                          static_cast<double>(chosen.size()) / num_examples);
  }
  record.initial_loss = loss_sum / num_examples;
  load_local(task);  // the fits may have moved the model's statistics
}

// Returns the sum of the losses.
double ClientTrainer::train(const ClientTask& task, std::span<const Trained> epochs, Adjust adjust, std::uint64_t part,
                            FitRecord& record, ClientFit& fit, const std::function<void(std::int64_t)>& advance) {
  optimizer_->reset();
  const RandomKey shuffle_key = part_of(random_key(job_.run.seed, Purpose::shuffle, task.round, task.client), part);
  const RandomKey dropout_key = part_of(random_key(job_.run.seed, Purpose::dropout, task.round, task.client), part);
  const auto batch_size = static_cast<std::size_t>(job_.training.batch_size);
  const auto steps_per_epoch = (task.examples.size() + batch_size - 1) / batch_size;
  const double num_steps = static_cast<double>(steps_per_epoch) * static_cast<double>(epochs.size());
  const auto lengths = dataset_.lengths(Split::train);
  const at::Tensor shared_gradients = gradients_.narrow(0, 0, parameters_.numel());

  double loss_sum = 0.0;
  for (std::size_t epoch = 0; epoch < epochs.size(); ++epoch) {
    std::vector<std::int64_t> order(task.examples.begin(), task.examples.end());
    RandomStream{derive(shuffle_key, epoch)}.shuffle(order);
    for (std::size_t begin = 0; begin < order.size(); begin += batch_size) {
      const auto chosen = std::span(order).subspan(begin, std::min(batch_size, order.size() - begin));
      const double progress = (task.round - 1 + static_cast<double>(record.num_steps) / num_steps) / job_.run.rounds;
      const double factor = schedule_factor(job_.training, progress);
      const BatchResult result = set_gradients(dataset_.batch(Split::train, chosen),
                                               derive(dropout_key, static_cast<std::uint64_t>(record.num_steps)));
      {
        const OneThread one_thread;
        (strategy_.*adjust)(shared_gradients, fit);
      }
      if (job_.training.max_gradient_norm > 0.0) clip_gradient_norm(gradients_, job_.training.max_gradient_norm);
      optimizer_->step(factor, epochs[epoch]);
      model_.values_changed();
      ++record.num_steps;
      fit.sum_of_learning_rates += job_.training.learning_rate * factor;
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
  return loss_sum;
}

}  // namespace fedmpi
