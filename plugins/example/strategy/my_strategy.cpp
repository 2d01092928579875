#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"

#include <array>

#include <ATen/ATen.h>

namespace {

// FedAvg with a learning rate on the server: w <- w + rate * d, where d is the mean of the clients' updates, weighted
// by their examples.
class MyStrategy final : public fedmpi::Strategy {
 public:
  explicit MyStrategy(const fedmpi::Options& options) : learning_rate_{options.get<double>("server_learning_rate")} {}

  void aggregate(at::Tensor global, at::Tensor, const at::Tensor& mean_updates, const fedmpi::FitRound&) override {
    global.add_(mean_updates[0], learning_rate_);
  }

 private:
  double learning_rate_;
};

constexpr std::array options{
    fedmpi::OptionSpec{.name = "server_learning_rate",
                       .type = fedmpi::OptionType::number,
                       .default_value = "1.0",
                       .help = "of the server's step; 1 is FedAvg",
                       .minimum = 0.0,
                       .maximum = 100.0},
};

}  // namespace

FEDMPI_PLUGIN(Strategy, MyStrategy, "my_strategy", "1.0", "FedAvg with a learning rate on the server", options)
