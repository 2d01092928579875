#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"

#include <array>

#include <ATen/ATen.h>

namespace {

// FedAvg (McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", algorithm
// 1): w <- sum(n_k * w_k) / sum(n_k), which is w + the weighted mean of the updates w_k - w.
class FedAvg final : public fedmpi::Strategy {
 public:
  explicit FedAvg(const fedmpi::Options&) {}

  void aggregate(at::Tensor global, at::Tensor, const at::Tensor& mean_updates, const fedmpi::FitRound&) override {
    global.add_(mean_updates[0]);
  }
};

constexpr std::array<fedmpi::OptionSpec, 0> options{};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedAvg, "fedavg", "1.0", "the mean of the clients' parameters, weighted by their examples",
              options)
