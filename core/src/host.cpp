#include "host.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/random.hpp"

#include <algorithm>
#include <optional>

namespace fedmpi {

namespace {

std::int64_t sum_size(const Strategy& strategy, const Layout& layout) {
  const Exchange exchange = strategy.exchange();
  const std::int64_t statistics = layout.shared_size() - layout.shared_parameters_size();
  if (exchange.aggregation == Aggregation::slices) return statistics;
  return (1 + exchange.num_extra_updates) * layout.shared_parameters_size() + statistics;
}

}  // namespace

Host::Host(Experiment& experiment, const Partition& partition, const ClientStates& states)
    : experiment_{experiment},
      partition_{partition},
      states_{states},
      by_slices_{experiment.strategy->exchange().aggregation == Aggregation::slices},
      residual_size_{
          kept_sizes(experiment.strategy->exchange(), experiment.model->layout(), experiment.job.federation.compression)
              .residual},
      trainer_{experiment.job, *experiment.model, *experiment.dataset, *experiment.strategy, experiment.device},
      compression_{experiment.job.federation.compression, 1 + experiment.strategy->exchange().num_extra_updates,
                   experiment.model->layout().shared_parameters_size()},
      sum_{sum_size(*experiment.strategy, experiment.model->layout()), experiment.device},
      spool_{experiment.model->layout().shared_parameters_size()} {}

void Host::begin_round(int round, int cohort_size) {
  round_ = round;
  outcome_ = {};
  sum_.clear(cohort_size);
  spool_.clear();
}

void Host::fit(std::span<const std::int64_t> clients, const at::Tensor& global, const at::Tensor& server_vectors,
               const std::function<void(std::int64_t)>& advance) {
  for (const std::int64_t client : clients) {
    try {
      outcome_.records.push_back(fit_one(client, global, server_vectors, advance));
    } catch (const std::exception& error) {
      outcome_.failures.push_back({client, one_line(error)});
    }
  }
}

FitRecord Host::fit_one(std::int64_t client, const at::Tensor& global, const at::Tensor& server_vectors,
                        const std::function<void(std::int64_t)>& advance) {
  ClientTask task{.client = client,
                  .round = round_,
                  .examples = partition_.train[static_cast<std::size_t>(client)],
                  .global = global,
                  .server_vectors = server_vectors};
  at::Tensor in_file;  // where clients are trained on the CPU, what is copied between these is one tensor
  if (states_.is_needed()) {
    states_.remove(client, round_);
    in_file = states_.read(client);
    task.kept = in_file.to(experiment_.device);
    task.is_first = states_.is_first(client);
  }
  const FitRecord record = trainer_.fit(task, advance);
  if (states_.is_needed()) in_file.copy_(task.kept);
  if (compression_.is_on()) {
    at::Tensor residual;
    if (residual_size_ > 0) residual = in_file.narrow(0, in_file.numel() - residual_size_, residual_size_);
    const at::Tensor sent = trainer_.updates().cpu();
    compression_.apply(sent, residual, random_key(experiment_.job.run.seed, Purpose::compression, round_, client));
    trainer_.updates().copy_(sent);
  }
  std::optional<KeptState> kept;
  if (states_.is_needed()) kept = states_.write(client, round_, in_file);
  const std::int64_t num_spooled = spool_.num_updates();
  try {
    if (by_slices_) {
      spool_.append(trainer_.updates().cpu());
      sum_.add(std::vector{trainer_.statistics()}, record.weight);
    } else {
      sum_.add(std::vector{trainer_.updates(), trainer_.statistics()}, record.weight);
    }
  } catch (...) {
    spool_.truncate(num_spooled);
    if (kept) states_.remove(client, round_);
    throw;
  }
  if (kept) outcome_.kept.push_back({client, *kept});
  return record;
}

void Host::add(std::span<const FitRecord> records, const at::Tensor& sum) {
  outcome_.records.insert(outcome_.records.end(), records.begin(), records.end());
  sum_.sum().add_(sum.to(experiment_.device));
}

std::int64_t Host::update_bytes() const {
  return compression_.bytes() + static_cast<std::int64_t>(trainer_.statistics().nbytes());
}

EvaluationResults Host::evaluate(std::span<const EvaluationBlock> blocks, std::span<const std::size_t> chosen,
                                 const at::Tensor& global) {
  trainer_.load(global);
  std::int64_t loaded = -1;  // whose model; -1: the global one
  const auto load = [&](std::int64_t client) {
    const bool is_own = trainer_.has_own_models() && client >= 0 && !states_.is_first(client);
    const std::int64_t wanted = is_own ? client : -1;
    if (wanted == loaded) return;
    if (is_own)
      trainer_.load(global, states_.read(client));
    else
      trainer_.load(global);
    loaded = wanted;
  };
  return evaluate_blocks(*experiment_.model, *experiment_.dataset, blocks, chosen, load);
}

}  // namespace fedmpi
