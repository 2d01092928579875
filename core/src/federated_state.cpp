#include "federated_state.hpp"

#include "client.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/one_thread.hpp"
#include "fedmpi/random.hpp"
#include "node_memory.hpp"

#include <string_view>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

// Tensors of the engine among those of the strategy in a checkpoint.
constexpr std::string_view engine_prefix = "engine.";
constexpr const char* server_vectors_name = "engine.server_vectors";

at::Tensor zeros(at::IntArrayRef sizes, at::Device device) {
  if (device.is_cpu()) return zeros_on_node(sizes, at::kFloat);
  return at::zeros(sizes, at::TensorOptions(at::kFloat).device(device));
}

}  // namespace

FederatedState::FederatedState(Experiment& experiment, std::filesystem::path states, std::filesystem::path newer)
    : global{zeros({experiment.model->layout().size()}, experiment.device)},
      shared{global.narrow(0, 0, experiment.model->layout().shared_size())},
      parameters{global.narrow(0, 0, experiment.model->layout().shared_parameters_size())},
      server_vectors{
          zeros({experiment.strategy->exchange().num_server_vectors, parameters.numel()}, experiment.device)},
      clients{
          std::move(states), std::move(newer),
          kept_sizes(experiment.strategy->exchange(), experiment.model->layout(), experiment.job.federation.compression)
              .total(),
          experiment.job.federation.clients},
      experiment_{experiment} {}

void FederatedState::initialize() {
  const at::Tensor values = global.cpu();
  experiment_.model->initialize(values, random_key(experiment_.job.run.seed, Purpose::initialise));
  global.copy_(values);
}

void FederatedState::restore(const Checkpoint& checkpoint) {
  global.copy_(checkpoint.parameters);
  const bool by_slices = experiment_.strategy->exchange().aggregation == Aggregation::slices;
  const at::Device device = by_slices ? at::Device(at::kCPU) : global.device();
  std::vector<NamedTensor> of_strategy;
  for (const NamedTensor& state : checkpoint.strategy_state)
    if (!state.name.starts_with(engine_prefix)) of_strategy.push_back({state.name, state.tensor.to(device)});
  if (server_vectors.size(0) > 0) {
    const at::Tensor saved = find_state(checkpoint.strategy_state, server_vectors_name);
    if (saved.scalar_type() != at::kFloat || saved.sizes() != server_vectors.sizes())
      throw Error("the server vectors in the checkpoint are not those of this strategy and model");
    server_vectors.copy_(saved);
  }
  clients.restore(checkpoint.strategy_state, checkpoint.round);
  experiment_.strategy->restore(of_strategy);
}

ServerState FederatedState::save() const {
  ServerState state{.global = global.cpu(), .strategy = experiment_.strategy->state()};
  if (server_vectors.size(0) > 0) state.strategy.push_back({server_vectors_name, server_vectors});
  for (NamedTensor& part : state.strategy) part.tensor = part.tensor.cpu();
  for (NamedTensor& kept : clients.save()) state.strategy.push_back(std::move(kept));
  return state;
}

void FederatedState::advance(const FitRound& round, const at::Tensor& mean, const at::Tensor& next) {
  const std::int64_t size = parameters.numel(), num_statistics = shared.numel() - size;
  if (next.defined()) {
    parameters.copy_(next[0]);
    server_vectors.copy_(next.narrow(0, 1, server_vectors.size(0)));
  } else {
    const std::int64_t num_updates = 1 + experiment_.strategy->exchange().num_extra_updates;
    const at::Tensor mean_updates = mean.narrow(0, 0, num_updates * size).view({num_updates, size});
    const OneThread one_thread;
    experiment_.strategy->aggregate(parameters, server_vectors, mean_updates, round);
  }
  shared.narrow(0, size, num_statistics).add_(mean.narrow(0, mean.numel() - num_statistics, num_statistics));
  if (!at::isfinite(shared).all().item<bool>() || !at::isfinite(server_vectors).all().item<bool>())
    throw Error(fmt::format("round {}: the strategy '{}' gives parameters that are not finite", round.round,
                            experiment_.job.strategy.name));
}

}  // namespace fedmpi
