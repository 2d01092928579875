#include "host.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/random.hpp"
#include "one_thread_each.hpp"
#include "shared_advance.hpp"
#include "stopwatch.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

#include <ATen/Parallel.h>

namespace fedmpi {

namespace {

std::int64_t sum_size(const Strategy& strategy, const Layout& layout) {
  const Exchange exchange = strategy.exchange();
  const std::int64_t statistics = layout.shared_size() - layout.shared_parameters_size();
  if (exchange.aggregation == Aggregation::slices) return statistics;
  return (1 + exchange.num_extra_updates) * layout.shared_parameters_size() + statistics;
}

// How many clients at the same time: each takes the values, the gradients and up to two moments, as well as what its
// model works in.
std::size_t most_models(const Experiment& experiment) {
  constexpr std::int64_t most_bytes = std::int64_t{1} << 31, bytes_per_element = 6 * sizeof(float);
  if (!experiment.device.is_cpu() || !experiment.model->uses_one_thread()) return 1;
  const std::int64_t fitting = most_bytes / (bytes_per_element * experiment.model->layout().size());
  return static_cast<std::size_t>(std::clamp<std::int64_t>(fitting, 1, at::get_num_threads()));
}

constexpr std::chrono::milliseconds look_around{1};

}  // namespace

Host::Host(Experiment& experiment, const Partition& partition, const ClientStates& states)
    : experiment_{experiment},
      partition_{partition},
      states_{states},
      by_slices_{experiment.strategy->exchange().aggregation == Aggregation::slices},
      residual_size_{
          kept_sizes(experiment.strategy->exchange(), experiment.model->layout(), experiment.job.federation.compression)
              .residual},
      at_once_{most_models(experiment)},
      compression_{experiment.job.federation.compression, 1 + experiment.strategy->exchange().num_extra_updates,
                   experiment.model->layout().shared_parameters_size()},
      sum_{sum_size(*experiment.strategy, experiment.model->layout()), experiment.device},
      spool_{experiment.model->layout().shared_parameters_size()} {
  trainers_.push_back(std::make_unique<ClientTrainer>(experiment.job, *experiment.model, *experiment.dataset,
                                                      *experiment.strategy, experiment.device));
  for (std::size_t i = 1; i < at_once_; ++i) other_models_.push_back(experiment.another_model());
}

void Host::set_at_once(std::size_t count) {
  at_once_ = std::clamp<std::size_t>(count, 1, most_at_once());
}

void Host::make_trainers(std::size_t count) {
  for (std::size_t i = trainers_.size(); i < count; ++i)
    trainers_.push_back(std::make_unique<ClientTrainer>(experiment_.job, *other_models_[i - 1], *experiment_.dataset,
                                                        *experiment_.strategy));
}

void Host::begin_round(int round, int cohort_size) {
  round_ = round;
  outcome_ = {};
  sum_.clear(cohort_size);
  spool_.clear();
}

void Host::fit(std::span<const std::int64_t> clients, const at::Tensor& global, const at::Tensor& server_vectors,
               const Advance& advance) {
  if (std::min(at_once_, clients.size()) > 1) return fit_at_once(clients, global, server_vectors, advance);
  for (const std::int64_t client : clients)
    attempt(client, [&] { fit_one(*trainers_.front(), client, global, server_vectors, advance); });
}

void Host::fit_at_once(std::span<const std::int64_t> clients, const at::Tensor& global,
                       const at::Tensor& server_vectors, const Advance& advance) {
  const std::size_t count = std::min(at_once_, clients.size()), num_before = outcome_.records.size();
  make_trainers(count);
  const Stopwatch stopwatch;
  SharedAdvance shared(advance);
  std::atomic<std::size_t> next{0};
  std::atomic<int> num_working{0};
  std::atomic<double> busy_seconds{0.0};
  for_each_on_one_thread(static_cast<std::int64_t>(count), [&](std::int64_t number) {
    ClientTrainer& trainer = *trainers_[static_cast<std::size_t>(number)];
    const Stopwatch own;
    ++num_working;
    try {
      for (std::size_t i = next++; i < clients.size() && !shared.has_ended(); i = next++)
        attempt(clients[i], [&] {
          shared.check();
          fit_one(trainer, clients[i], global, server_vectors, [&](std::int64_t tokens) { shared.step(tokens); });
        });
    } catch (...) {
      shared.end();
    }
    busy_seconds += own.seconds();
    --num_working;
    while (shared.is_on_main_thread() && num_working > 0) {
      std::this_thread::sleep_for(look_around);
      shared.tell();
    }
  });
  shared.tell();
  shared.rethrow_end();
  const double share = stopwatch.seconds() / busy_seconds;
  for (FitRecord& record : std::span(outcome_.records).subspan(num_before)) record.seconds *= share;
}

// What it throws is the client's failure.
void Host::attempt(std::int64_t client, const std::function<void()>& fit) {
  try {
    fit();
  } catch (const std::exception& error) {
    const std::lock_guard lock(mutex_);
    outcome_.failures.push_back({client, one_line(error)});
  }
}

void Host::fit_one(ClientTrainer& trainer, std::int64_t client, const at::Tensor& global,
                   const at::Tensor& server_vectors, const Advance& advance) {
  std::unique_lock lock(mutex_);
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
  lock.unlock();
  const FitRecord record = trainer.fit(task, advance);
  lock.lock();
  if (states_.is_needed()) in_file.copy_(task.kept);
  take(trainer, record, in_file);
}

// What a client sends, and what it keeps.
void Host::take(ClientTrainer& trainer, const FitRecord& record, const at::Tensor& kept) {
  if (compression_.is_on()) {
    at::Tensor residual;
    if (residual_size_ > 0) residual = kept.narrow(0, kept.numel() - residual_size_, residual_size_);
    const at::Tensor sent = trainer.updates().cpu();
    compression_.apply(sent, residual,
                       random_key(experiment_.job.run.seed, Purpose::compression, round_, record.client));
    trainer.updates().copy_(sent);
  }
  std::optional<KeptState> written;
  if (states_.is_needed()) written = states_.write(record.client, round_, kept);
  const std::int64_t num_spooled = spool_.num_updates();
  try {
    if (by_slices_) {
      spool_.append(trainer.updates().cpu());
      sum_.add(std::vector{trainer.statistics()}, record.weight);
    } else {
      sum_.add(std::vector{trainer.updates(), trainer.statistics()}, record.weight);
    }
  } catch (...) {
    spool_.truncate(num_spooled);
    if (written) states_.remove(record.client, round_);
    throw;
  }
  if (written) outcome_.kept.push_back({record.client, *written});
  outcome_.records.push_back(record);
}

void Host::add(std::span<const FitRecord> records, const at::Tensor& sum) {
  outcome_.records.insert(outcome_.records.end(), records.begin(), records.end());
  sum_.sum().add_(sum.to(experiment_.device));
}

std::int64_t Host::update_bytes() const {
  return compression_.bytes() + static_cast<std::int64_t>(trainers_.front()->statistics().nbytes());
}

EvaluationResults Host::evaluate(std::span<const EvaluationBlock> blocks, std::span<const std::size_t> chosen,
                                 const at::Tensor& global) {
  const std::size_t count = std::min(at_once_, chosen.size());
  if (count <= 1) return evaluate(*trainers_.front(), blocks, chosen, global);
  make_trainers(count);
  std::vector<std::size_t> order(chosen.begin(), chosen.end());
  std::ranges::sort(order);  // the blocks of a client on few threads, each of which loads its model
  std::vector<EvaluationResults> parts(count);
  for_each_on_one_thread(static_cast<std::int64_t>(count), [&](std::int64_t number) {
    const auto part = static_cast<std::size_t>(number);
    const std::size_t begin = order.size() * part / count, end = order.size() * (part + 1) / count;
    parts[part] = evaluate(*trainers_[part], blocks, std::span(order).subspan(begin, end - begin), global);
  });
  for (std::size_t part = 1; part < count; ++part) {
    parts[0].blocks.insert(parts[0].blocks.end(), parts[part].blocks.begin(), parts[part].blocks.end());
    parts[0].counts.all.add_(parts[part].counts.all);
  }
  return parts[0];
}

EvaluationResults Host::evaluate(ClientTrainer& trainer, std::span<const EvaluationBlock> blocks,
                                 std::span<const std::size_t> chosen, const at::Tensor& global) {
  trainer.load(global);
  std::int64_t loaded = -1;  // whose model; -1: the global one
  const auto load = [&](std::int64_t client) {
    const bool is_own = trainer.has_own_models() && client >= 0 && !states_.is_first(client);
    const std::int64_t wanted = is_own ? client : -1;
    if (wanted == loaded) return;
    if (is_own)
      trainer.load(global, kept_by(client));
    else
      trainer.load(global);
    loaded = wanted;
  };
  return evaluate_blocks(trainer.model(), *experiment_.dataset, blocks, chosen, load);
}

at::Tensor Host::kept_by(std::int64_t client) {
  const std::lock_guard lock(mutex_);
  return states_.read(client);
}

}  // namespace fedmpi
