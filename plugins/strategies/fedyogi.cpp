#include "fedopt.hpp"

#include <array>

namespace {

// FedYogi (see fedopt.hpp): v <- v - (1 - beta_2) d^2 sign(v - d^2).
class FedYogi final : public fedmpi::FedOpt {
 public:
  explicit FedYogi(const fedmpi::Options& options)
      : FedOpt{options}, beta_1_{options.get<double>("beta_1")}, beta_2_{options.get<double>("beta_2")} {}

 private:
  void advance(at::Tensor& m, at::Tensor& v, const at::Tensor& update) const override {
    m.mul_(beta_1_).add_(update, 1.0 - beta_1_);
    const at::Tensor square = update.square();
    v.addcmul_(square, at::sub(v, square).sign_(), -(1.0 - beta_2_));
  }

  double beta_1_, beta_2_;
};

constexpr std::array options{
    fedmpi::positive_option("eta", "0.01", "the server's learning rate"),
    fedmpi::fraction_option("beta_1", "0.9", "of the mean, below 1"),
    fedmpi::fraction_option("beta_2", "0.99", "of the mean of squares, below 1"),
    fedmpi::tau_option,
    fedmpi::compat_option,
};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedYogi, "fedyogi", "1.0", "Yogi on the server, with the mean update as gradient", options)
