#include "made_up_federation.hpp"

#include "fedmpi/digest.hpp"
#include "fedmpi/one_thread.hpp"
#include "fedmpi/random.hpp"
#include "fedmpi/rows.hpp"
#include "fixed_point.hpp"
#include "optimizer.hpp"
#include "slices.hpp"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr std::size_t most_fits = 16;
constexpr std::int64_t steps_per_epoch = 1;

// Between -1 and 1.
void fill(at::Tensor tensor, RandomKey key) {
  RandomStream random(key);
  auto* value = tensor.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i)
    value[i] = static_cast<float>(static_cast<double>(random.next()) * 0x1.0p-31 - 1.0);
}

at::Tensor random_vector(std::int64_t size, RandomKey key) {
  at::Tensor vector = at::empty({size}, at::kFloat);
  fill(vector, key);
  return vector;
}

at::Tensor none() {
  return at::empty({0}, at::kFloat);
}

bool same(const at::Tensor& one, const at::Tensor& other) {
  if (one.defined() != other.defined()) return false;
  if (!one.defined()) return true;
  return one.scalar_type() == other.scalar_type() && one.sizes() == other.sizes() &&
         digest(one.contiguous()) == digest(other.contiguous());
}

}  // namespace

MadeUpFederation::MadeUpFederation(const TrainingSettings& training, int num_clients, int num_ranks,
                                   const Layout& proposed,
                                   const std::function<std::unique_ptr<Strategy>()>& make_strategy)
    : training_{training}, num_clients_{num_clients} {
  std::int64_t size = 0;
  for (int rank = 0; rank < num_ranks; ++rank) {
    strategies_.push_back(make_strategy());
    Strategy& strategy = *strategies_.back();
    const Layout layout = proposed.with_roles([&](const TensorSpec& tensor) {
      return tensor.role == TensorRole::frozen ? TensorRole::frozen : strategy.role(tensor);
    });
    strategy.prepare(training_, layout, num_clients);
    size = layout.shared_parameters_size();
  }
  exchange_ = strategies_[0]->exchange();
  state_.global = random_vector(size, random_key(0, Purpose::initialise));
  state_.server_vectors = at::zeros({exchange_.num_server_vectors, size}, at::kFloat);
  state_.client_vectors.resize(static_cast<std::size_t>(num_clients));
}

MadeUpFederation::Fit MadeUpFederation::fit(std::int64_t client, const Strategy& strategy) {
  const std::int64_t size = state_.global.numel();
  const RandomKey key = random_key(0, Purpose::synthetic, state_.round, client);
  const auto epochs = strategy.epochs(training_.local_epochs);
  const auto number = static_cast<double>(client);
  Fit result{.record = {.client = client, .num_examples = 10 + client, .initial_loss = 1.5 + 0.1 * number},
             .updates = at::zeros({1 + exchange_.num_extra_updates, size}, at::kFloat)};
  FitRecord& record = result.record;
  if (!exchange_.initial_loss) record.initial_loss = 0.0;

  at::Tensor& kept = state_.client_vectors[static_cast<std::size_t>(client)];
  const bool is_first = !kept.defined();
  if (is_first) kept = at::zeros({exchange_.num_client_vectors, size}, at::kFloat);
  at::Tensor parameters = state_.global.clone();
  ClientFit fit{.record = record,
                .training = training_,
                .is_first = is_first,
                .parameters = parameters,
                .global = state_.global,
                .server_vectors = state_.server_vectors,
                .client_vectors = exchange_.num_client_vectors > 0 ? kept : none(),
                .global_gradient = exchange_.global_gradient ? random_vector(size, derive(key, 0)) : none()};
  at::Tensor gradients = at::empty({size}, at::kFloat);
  const auto step = [&](auto adjust, std::uint64_t part) {
    fill(gradients, derive(key, part));
    const OneThread one_thread;
    (strategy.*adjust)(gradients, fit);
    parameters.sub_(gradients, training_.learning_rate);
  };
  if (exchange_.personal_model) {
    if (!is_first) parameters.copy_(kept[0]);
    step(&Strategy::adjust_personal_gradients, 1);
    kept[0].copy_(parameters);
    parameters.copy_(state_.global);
  }
  for (const Trained trained : epochs) {
    for (std::int64_t i = 0; i < steps_per_epoch; ++i) {
      if (trained != Trained::local)
        step(&Strategy::adjust_gradients, static_cast<std::uint64_t>(2 + record.num_steps));
      ++record.num_steps;
      fit.sum_of_learning_rates += training_.learning_rate;
    }
  }
  record.num_tokens = record.num_examples * static_cast<std::int64_t>(epochs.size());
  record.loss = 1.0 + 0.1 * number;
  parameters.sub_(state_.global);
  result.updates[0].copy_(parameters);
  if (exchange_.update_norm) record.update_norm = l2_norm(parameters);
  record.weight = strategy.weight(record);
  const OneThread one_thread;
  strategy.finish_fit(result.updates, fit);
  return result;
}

void MadeUpFederation::run_round(std::span<const std::int64_t> cohort) {
  ++state_.round;
  std::vector<Fit> fits;
  std::vector<FitRecord> records;
  for (std::size_t i = 0; i < cohort.size(); ++i) {
    if (i < most_fits) fits.push_back(fit(cohort[i], *strategies_[i % strategies_.size()]));
    records.push_back(fits[i % most_fits].record);
    records.back().client = cohort[i];
  }
  const FitRound round{.round = state_.round, .num_clients = num_clients_, .records = records};
  double total_weight = 0.0;
  for (const Fit& fit : fits) total_weight += fit.record.weight;
  if (total_weight == 0.0) return;
  if (exchange_.aggregation == Aggregation::slices)
    by_slices(fits, round);
  else
    by_sums(fits, round);
}

void MadeUpFederation::by_sums(std::span<const Fit> fits, const FitRound& round) {
  FixedPointSum total(fits[0].updates.numel());
  const auto num_updates = static_cast<std::int64_t>(fits.size());
  total.clear(num_updates);
  double total_weight = 0.0;
  for (const Fit& fit : fits) total_weight += fit.record.weight;
  for (std::size_t rank = 0; rank < strategies_.size(); ++rank) {
    FixedPointSum own(fits[0].updates.numel());
    own.clear(num_updates);
    for (std::size_t i = rank; i < fits.size(); i += strategies_.size())
      own.add(std::vector{fits[i].updates}, fits[i].record.weight);
    total.sum().add_(own.sum());
  }
  const at::Tensor mean = total.mean(total_weight).view(fits[0].updates.sizes());
  const OneThread one_thread;
  strategies_[0]->aggregate(state_.global, state_.server_vectors, mean, round);
}

void MadeUpFederation::by_slices(std::span<const Fit> fits, const FitRound& round) {
  std::vector<std::int64_t> chosen = all_rows(std::ssize(round.records));
  if (exchange_.products) {
    at::Tensor products;
    for_each_share(fits, round, chosen,
                   [&](const Slices& slices, std::size_t, const at::Tensor& received, std::int64_t begin) {
                     const at::Tensor vectors = state_.server_vectors.narrow(1, begin, received.size(1));
                     const at::Tensor own = slices.products(received, vectors);
                     products = products.defined() ? products + own : own;
                   });
    const OneThread one_thread;
    for (const auto& strategy : strategies_) chosen = strategy->compare(products.clone(), round);
  }
  for_each_share(
      fits, round, chosen, [&](const Slices& slices, std::size_t rank, const at::Tensor& received, std::int64_t begin) {
        const std::int64_t length = received.size(1);
        const at::Tensor vectors = state_.server_vectors.narrow(1, begin, length).contiguous();
        slices.aggregate(*strategies_[rank], round, received, state_.global.narrow(0, begin, length), vectors);
        state_.server_vectors.narrow(1, begin, length).copy_(vectors);
      });
}

// Calls work(slices, rank, received, begin) for each rank's share of each turn, of the updates of the round's records
// `chosen`.
void MadeUpFederation::for_each_share(
    std::span<const Fit> fits, const FitRound& round, std::span<const std::int64_t> chosen,
    const std::function<void(const Slices&, std::size_t, const at::Tensor&, std::int64_t)>& work) {
  std::vector<std::vector<std::int64_t>> clients(strategies_.size());
  std::vector<std::vector<at::Tensor>> updates(strategies_.size());
  for (const std::int64_t record : chosen) {
    const auto i = static_cast<std::size_t>(record);
    clients[i % clients.size()].push_back(round.records[i].client);
    updates[i % clients.size()].push_back(fits[i % most_fits].updates[0]);
  }
  const Slices slices(clients, state_.global.numel());
  for (std::int64_t turn = 0; turn < slices.num_turns(); ++turn)
    for (std::size_t rank = 0; rank < strategies_.size(); ++rank) {
      const auto [begin, length] = slices.share(turn, static_cast<int>(rank));
      std::vector<at::Tensor> received;
      for (const auto& of_rank : updates)
        for (const at::Tensor& update : of_rank) received.push_back(update.narrow(0, begin, length));
      work(slices, rank, at::stack(received), begin);
    }
}

MadeUpFederation::State MadeUpFederation::save() const {
  State copy{.round = state_.round,
             .global = state_.global.clone(),
             .server_vectors = state_.server_vectors.clone(),
             .client_vectors = state_.client_vectors,
             .strategy = strategies_[0]->state()};
  for (at::Tensor& kept : copy.client_vectors)
    if (kept.defined()) kept = kept.clone();
  for (NamedTensor& state : copy.strategy)
    if (state.tensor.defined()) state.tensor = state.tensor.clone();
  return copy;
}

void MadeUpFederation::restore(const State& state) {
  state_.round = state.round;
  state_.global.copy_(state.global);
  state_.server_vectors.copy_(state.server_vectors);
  for (std::size_t client = 0; client < state.client_vectors.size(); ++client)
    state_.client_vectors[client] =
        state.client_vectors[client].defined() ? state.client_vectors[client].clone() : at::Tensor();
  std::vector<NamedTensor> of_strategy = state.strategy;
  for (NamedTensor& one : of_strategy) one.tensor = one.tensor.clone();
  strategies_[0]->restore(of_strategy);
}

Layout with_single_elements(const Layout& layout) {
  std::vector<TensorSpec> specs;
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    specs.push_back(layout.spec(i));
    specs.back().shape = {1};
  }
  return Layout(std::move(specs));
}

std::string difference(const MadeUpFederation::State& one, const MadeUpFederation::State& other) {
  if (!same(one.global, other.global)) return "the parameters";
  if (!same(one.server_vectors, other.server_vectors)) return "the server vectors";
  for (std::size_t client = 0; client < one.client_vectors.size(); ++client)
    if (!same(one.client_vectors[client], other.client_vectors[client]))
      return fmt::format("the vectors of client {}", client);
  if (one.strategy.size() != other.strategy.size()) return "the number of tensors in its state";
  for (std::size_t i = 0; i < one.strategy.size(); ++i)
    if (one.strategy[i].name != other.strategy[i].name || !same(one.strategy[i].tensor, other.strategy[i].tensor))
      return fmt::format("the state '{}'", one.strategy[i].name);
  return "";
}

}  // namespace fedmpi
