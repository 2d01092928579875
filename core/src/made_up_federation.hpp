#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/layout.hpp"
#include "fedmpi/strategy.hpp"
#include "slices.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// A federation without model and data: a strategy's two halves as the engine calls them, around clients whose gradients
// are random numbers. Only the first few clients of a cohort are fitted; the others send what those send. No
// communication: ranks are objects of their own. Main thread only.
class FEDMPI_API MadeUpFederation {
 public:
  // All that the next round is made from.
  struct State {
    int round = 0;
    at::Tensor global, server_vectors;
    std::vector<at::Tensor> client_vectors;  // [client], undefined before its first round
    std::vector<NamedTensor> strategy;
  };

  // `make_strategy` is called once a rank. `proposed`: the layout before the strategy gives tensors other roles.
  MadeUpFederation(const TrainingSettings& training, int num_clients, int num_ranks, const Layout& proposed,
                   const std::function<std::unique_ptr<Strategy>()>& make_strategy);

  // `cohort`: ascending.
  void run_round(std::span<const std::int64_t> cohort);

  const Exchange& exchange() const { return exchange_; }
  const Strategy& strategy() const { return *strategies_[0]; }  // of the server
  State save() const;                                           // a copy
  void restore(const State& state);

 private:
  struct Fit {
    FitRecord record;
    at::Tensor updates;
  };

  Fit fit(std::int64_t client, const Strategy& strategy);
  void by_sums(std::span<const Fit> fits, const FitRound& round);
  void by_slices(std::span<const Fit> fits, const FitRound& round);
  void for_each_share(std::span<const Fit> fits, const FitRound& round, std::span<const std::int64_t> chosen,
                      const std::function<void(const Slices&, std::size_t, const at::Tensor&, std::int64_t)>& work);

  TrainingSettings training_;
  int num_clients_;
  std::vector<std::unique_ptr<Strategy>> strategies_;  // [rank]
  Exchange exchange_;
  State state_;
};

// The layout with tensors of one element each, where their sizes do not matter.
FEDMPI_API Layout with_single_elements(const Layout& layout);

// "" when all bits are the same, else what differs: "the parameters".
FEDMPI_API std::string difference(const MadeUpFederation::State& one, const MadeUpFederation::State& other);

}  // namespace fedmpi
