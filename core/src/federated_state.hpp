#pragma once

#include "client_states.hpp"
#include "fedmpi/checkpoint.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/export.hpp"
#include "run_record.hpp"

#include <filesystem>
#include <memory>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// A run between two rounds: the same on every rank, but for what the strategy keeps in its object on the server. No
// communication. Main thread only.
class FEDMPI_API FederatedState {
 public:
  // All zero, the tensors on the experiment's device. Clients' files of rounds that a run goes on from lie in `states`,
  // those of its own rounds in `newer`.
  FederatedState(Experiment& experiment, std::filesystem::path states, std::filesystem::path newer);

  at::Tensor global;          // float32 [layout.size()]
  at::Tensor shared;          // the part of it that travels, [layout.shared_size()]
  at::Tensor parameters;      // the part of that which the strategy sees, [layout.shared_parameters_size()]
  at::Tensor server_vectors;  // see Exchange
  ClientStates clients;

  // On the server: what comes before the first round, or after a checkpoint's.
  void initialize();
  void restore(const Checkpoint& checkpoint);
  ServerState save() const;  // on the CPU; there it is no copy

  // On the server: the next round's. `mean`: of what clients sent, weighted, in the order of Host::sum. `next`: of a
  // strategy on slices, as aggregate_slices gives it, else undefined. Error when the strategy throws or gives something
  // that is not finite.
  void advance(const FitRound& round, const at::Tensor& mean, const at::Tensor& next);

 private:
  Experiment& experiment_;
};

}  // namespace fedmpi
