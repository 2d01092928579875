#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/layout.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

struct TrainingSettings;  // job.hpp

// What a client reports of one fit, in numbers only. Besides these records the server gets the updates, statistics of
// the model, sums of evaluations, digests of what clients keep, and the message of a fit that failed.
struct FitRecord {
  std::int64_t client = 0;
  std::int64_t num_examples = 0;  // in the client's partition
  std::int64_t num_steps = 0;     // optimizer steps taken
  std::int64_t num_tokens = 0;    // trained on, over all local epochs
  double loss = 0.0;              // mean over the examples of the local pass
  double weight = 0.0;            // what the client counts in the aggregate
  double seconds = 0.0;           // of the rank's time: its share, where others were fitted beside it
  double initial_loss = 0.0;      // mean over the client's examples with the global parameters; see Exchange
  double update_norm = 0.0;       // L2 norm of the update; see Exchange
};

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// The tensor called `name`. Error when there is none.
FEDMPI_API at::Tensor find_state(std::span<const NamedTensor> state, const std::string& name);

// How the clients' updates come together. `sum`: one weighted sum, the server's memory does not depend on how many
// clients there are. `slices`: each rank gets a range of coordinates of all updates at a time.
enum class Aggregation { sum, slices };

// What a strategy exchanges, keeps and asks for besides parameters and updates. A vector is float32 [size] with
// size = layout.shared_parameters_size().
struct Exchange {
  Aggregation aggregation = Aggregation::sum;
  int num_server_vectors = 0;    // the server's own, sent to every client with the parameters; zero at first
  int num_client_vectors = 0;    // kept for each client from one of its rounds to the next; zero at first
  int num_extra_updates = 0;     // sent by each client besides its update and averaged like it; with `sum` only
  bool initial_loss = false;     // fills in FitRecord::initial_loss: one more forward pass
  bool update_norm = false;      // fills in FitRecord::update_norm
  bool global_gradient = false;  // fills in ClientFit::global_gradient: one more forward and backward pass
  bool personal_model = false;   // the client's first vector is a model of its own, fitted in the same round
  bool products = false;         // calls Strategy::compare; with `slices` only
};

// Which trainable tensors an epoch changes.
enum class Trained { all, shared, local };

// One client in one round, as the client half sees it. Vectors as in Exchange, empty tensors where none were asked for.
// All are on the run's device (run.device), as the gradients and updates beside them: LibTorch's operators work on any,
// pointers to their data on the CPU alone.
struct ClientFit {
  const FitRecord& record;  // so far: num_examples and initial_loss before the fit, all but seconds after it
  const TrainingSettings& training;
  double sum_of_learning_rates = 0.0;  // over the steps taken; of training.learning_rate and its schedule
  bool is_first = true;                // the client has not been fitted in an earlier round
  at::Tensor parameters;               // [size], the client's, being trained
  at::Tensor global;                   // [size], what the round started from
  at::Tensor server_vectors;           // [num_server_vectors, size]
  at::Tensor client_vectors;           // [num_client_vectors, size]; finish_fit may change them
  at::Tensor global_gradient;          // [size], of the mean loss over the client's examples at `global`
};

// What the server half knows of a round.
struct FitRound {
  int round = 0;
  int num_clients = 0;                 // of the federation, in this round or not
  std::span<const FitRecord> records;  // of those that were fitted, in ascending client order
};

// Interface of a strategy plugin: both halves of a federated algorithm. The client half runs on whichever rank hosts
// the client, the server half on rank 0, except where it says otherwise. No function may keep state of a client in the
// object: it would depend on who was hosted together; that is what client vectors are for. The const functions of the
// client half and aggregate_slice are called from several threads at once, the others from the main thread. Tensor
// operations within any of them run on one thread, so that no bit depends on how many there are.
class FEDMPI_API Strategy {
 public:
  static constexpr const char* plugin_kind = "strategy";
  virtual ~Strategy();

  // In this order, on every rank, before anything else.
  // What becomes of a tensor that is not frozen: FedBN keeps those of normalisation layers local. Default: its role in
  // the model. A shared or local statistic stays one.
  virtual TensorRole role(const TensorSpec& tensor) const;
  // UserError when it cannot work with this training, with the layout that role() made or with so many clients. Before
  // a run another object is tried on made-up updates, with the same tensors of one element each and another learning
  // rate: no shape may be refused for that, and no value of the rate.
  virtual void prepare(const TrainingSettings& training, const Layout& layout, int num_clients);
  // Default: sums, and nothing else.
  virtual Exchange exchange() const;

  // Client half.
  // One entry for each local epoch. Default: `local_epochs` times all.
  virtual std::vector<Trained> epochs(int local_epochs) const;
  // After each backward pass, before clipping and the optimizer step. Default: nothing.
  virtual void adjust_gradients(at::Tensor gradients, const ClientFit& fit) const;
  // The same while the personal model is fitted: fit.parameters are the personal ones. Default: nothing.
  virtual void adjust_personal_gradients(at::Tensor gradients, const ClientFit& fit) const;
  // How much the client counts, by all of the record but weight and seconds; >= 0, and at least 2^-10 where it is to
  // keep its precision. Default: num_examples.
  virtual double weight(const FitRecord& record) const;
  // `updates` [1 + num_extra_updates, size]: the first is local - global, the others zero; changed in place before they
  // are weighted and summed. Default: nothing.
  virtual void finish_fit(at::Tensor updates, ClientFit& fit) const;

  // Server half, by sums, with tensors on the run's device.
  // `global` in: the round's start; out: the next round's. `server_vectors` likewise. `mean_updates` [1 +
  // num_extra_updates, size] = sum(weight * updates) / sum(weight). Not called when every weight is 0: the parameters
  // then stay. Throws Error when there are too few clients for it. Default: FedAvg's, global += the mean update.
  virtual void aggregate(at::Tensor global, at::Tensor server_vectors, const at::Tensor& mean_updates,
                         const FitRound& round);

  // Server half, by slices: on every rank, with tensors on the CPU.
  // `products`: float64 [m, m], m = n + num_server_vectors, the inner products of the n updates (rows as round.records)
  // and of the server vectors after them; the same on every rank, and so must be what it returns: the rows that
  // aggregate_slice of the same round gets, ascending, at least one. Others need not travel. Default: all. Called where
  // exchange() asks for products.
  virtual std::vector<std::int64_t> compare(const at::Tensor& products, const FitRound& round);
  // A range of `length` coordinates: `updates` [n, length], contiguous, may be changed, n those of compare or all;
  // `global` [length] and `server_vectors` [num_server_vectors, length] are in and out. Called from several threads at
  // once.
  virtual void aggregate_slice(at::Tensor global, at::Tensor server_vectors, at::Tensor updates,
                               const FitRound& round) const;

  // What the server half needs to go on after a restart, besides the server vectors. restore gets what state returned,
  // on the run's device where it aggregates by sums and on the CPU where by slices, or what a checkpoint of another
  // version did: see find_state.
  virtual std::vector<NamedTensor> state() const;
  virtual void restore(std::span<const NamedTensor> state);
};

}  // namespace fedmpi
