#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/strategy.hpp"
#include "optimizer.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

namespace fedmpi {

// What a client keeps between its rounds, in one vector: the strategy's client vectors, then the layout's local
// tensors, then what of its updates error feedback has not sent yet (see Compression).
struct KeptSizes {
  std::int64_t vectors = 0, local = 0, residual = 0;  // in elements
  std::int64_t total() const { return vectors + local + residual; }
};
FEDMPI_API KeptSizes kept_sizes(const Exchange& exchange, const Layout& layout, const RuleChoice& compression);

// One client's part of a round.
struct ClientTask {
  std::int64_t client = 0;
  int round = 0;
  std::span<const std::int64_t> examples;
  at::Tensor global;          // float32 [layout.size()]
  at::Tensor server_vectors;  // float32 [num_server_vectors, shared_parameters_size]
  at::Tensor kept;            // float32 [kept_sizes.total()], in and out; the residual is left as it is
  bool is_first = true;       // `kept` has not been filled in yet
};

// A workspace: the model bound to its two buffers, and the training of one client after another in them. No
// communication. What a client's fit gives is a function of the job and its task, whatever ran before it.
class FEDMPI_API ClientTrainer {
 public:
  // The model is bound to buffers on `device`, where tasks' tensors are too.
  ClientTrainer(const Job& job, Model& model, const Dataset& dataset, const Strategy& strategy,
                at::Device device = at::kCPU);

  Model& model() { return model_; }

  // Makes the model the global one. global: float32 [layout.size()].
  void load(const at::Tensor& global);
  // Makes it the one that a client's own examples are evaluated with: the global one and what the client keeps.
  void load(const at::Tensor& global, const at::Tensor& kept);

  // Trains the client's examples and leaves what it sends in updates() and statistics(). `advance` is called with the
  // tokens of each step. Error when the loss is not finite.
  FitRecord fit(const ClientTask& task, const std::function<void(std::int64_t)>& advance);

  // Whether a client is evaluated with another model than the global one.
  bool has_own_models() const { return exchange_.personal_model || kept_sizes_.local > 0; }

  // How often fit() passes over a client's examples, backward included.
  std::int64_t num_passes() const;

  // After the strategy's finish_fit, until the next load or fit: float32 [1 + num_extra_updates,
  // shared_parameters_size], and local - global of the shared statistics, [shared_size - shared_parameters_size].
  at::Tensor updates() const { return updates_; }
  at::Tensor statistics() const;

 private:
  using Adjust = void (Strategy::*)(at::Tensor, const ClientFit&) const;

  void load_local(const ClientTask& task);
  BatchResult set_gradients(const Batch& batch, RandomKey key);
  void start_from_global(const ClientTask& task, FitRecord& record, ClientFit& fit);
  double train(const ClientTask& task, std::span<const Trained> epochs, Adjust adjust, std::uint64_t part,
               FitRecord& record, ClientFit& fit, const std::function<void(std::int64_t)>& advance);

  const Job& job_;
  Model& model_;
  const Dataset& dataset_;
  const Strategy& strategy_;
  const Exchange exchange_;
  const KeptSizes kept_sizes_;
  at::Tensor values_, gradients_;
  std::vector<at::Tensor> gaps_;  // of the gradients that the strategy sees: what lies between the tensors
  at::Tensor parameters_;         // the part of values_ that the strategy sees
  at::Tensor updates_, global_gradient_;
  std::unique_ptr<Optimizer> optimizer_;  // made at the first fit: a server that hosts no clients needs none
};

}  // namespace fedmpi
