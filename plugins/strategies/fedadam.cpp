#include "fedopt.hpp"

#include <array>
#include <cmath>

namespace {

// FedAdam (see fedopt.hpp): v <- beta_2 v + (1 - beta_2) d^2. The paper has no bias correction; with it (Kingma & Ba
// 2015, algorithm 1) v starts at 0. Flower has one, with the round plus one as its exponent.
class FedAdam final : public fedmpi::FedOpt {
 public:
  explicit FedAdam(const fedmpi::Options& options)
      : FedOpt{options},
        beta_1_{options.get<double>("beta_1")},
        beta_2_{options.get<double>("beta_2")},
        bias_correction_{options.get<bool>("bias_correction")} {}

 private:
  bool starts_at_zero() const override { return flower() || bias_correction_; }
  void advance(at::Tensor& m, at::Tensor& v, const at::Tensor& update) const override {
    m.mul_(beta_1_).add_(update, 1.0 - beta_1_);
    v.mul_(beta_2_).addcmul_(update, update, 1.0 - beta_2_);
  }
  double correction(int round) const override {
    if (!flower() && !bias_correction_) return 1.0;
    const int exponent = flower() ? round + 1 : round;
    return std::sqrt(1.0 - std::pow(beta_2_, exponent)) / (1.0 - std::pow(beta_1_, exponent));
  }

  double beta_1_, beta_2_;
  bool bias_correction_;
};

constexpr std::array options{
    fedmpi::positive_option("eta", "0.1", "the server's learning rate"),
    fedmpi::fraction_option("beta_1", "0.9", "of the mean, below 1"),
    fedmpi::fraction_option("beta_2", "0.99", "of the mean of squares, below 1"),
    fedmpi::tau_option,
    fedmpi::OptionSpec{"bias_correction", fedmpi::OptionType::boolean, "false", "as Adam's own, by the round"},
    fedmpi::compat_option,
};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedAdam, "fedadam", "1.0", "Adam on the server, with the mean update as gradient", options)
