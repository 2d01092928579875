#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"
#include "options.hpp"

#include <array>

#include <ATen/ATen.h>

namespace {

// FedAvgM (Hsu, Qi & Brown 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
// Classification", section 4): v <- momentum * v + d with d = w - mean(w_k), w <- w - learning rate * v.
class FedAvgM final : public fedmpi::Strategy {
 public:
  explicit FedAvgM(const fedmpi::Options& options)
      : learning_rate_{options.get<double>("server_learning_rate")},
        momentum_{options.get<double>("server_momentum")} {}

  void aggregate(at::Tensor global, at::Tensor, const at::Tensor& mean_updates, const fedmpi::FitRound&) override {
    if (!velocity_.defined()) velocity_ = at::zeros_like(global);
    velocity_.mul_(momentum_).add_(mean_updates[0]);  // the paper's, negative
    global.add_(velocity_, learning_rate_);
  }

  std::vector<fedmpi::NamedTensor> state() const override {
    if (!velocity_.defined()) return {};
    return {{"velocity", velocity_}};
  }
  void restore(std::span<const fedmpi::NamedTensor> state) override {
    velocity_ = state.empty() ? at::Tensor() : fedmpi::find_state(state, "velocity");
  }

 private:
  double learning_rate_, momentum_;
  at::Tensor velocity_;
};

constexpr std::array options{
    fedmpi::positive_option("server_learning_rate", "1.0", "of the server's step"),
    fedmpi::fraction_option("server_momentum", "0.0", "0: FedAvg"),
};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedAvgM, "fedavgm", "1.0", "FedAvg with momentum on the server", options)
