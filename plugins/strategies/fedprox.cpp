#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"
#include "options.hpp"

#include <array>

#include <ATen/ATen.h>

namespace {

// FedProx (Li et al. 2020, "Federated Optimization in Heterogeneous Networks", algorithm 2): clients minimise
// F_k(w) + mu / 2 |w - w_t|^2, whose gradient has mu (w - w_t) more.
class FedProx final : public fedmpi::Strategy {
 public:
  explicit FedProx(const fedmpi::Options& options) : mu_{options.get<double>("proximal_mu")} {}

  void adjust_gradients(at::Tensor gradients, const fedmpi::ClientFit& fit) const override {
    gradients.add_(fit.parameters, mu_).sub_(fit.global, mu_);
  }

 private:
  double mu_;
};

constexpr std::array options{
    fedmpi::positive_option("proximal_mu", "0.0", "weight of the proximal term; 0: FedAvg"),
};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedProx, "fedprox", "1.0", "FedAvg whose clients are drawn towards the global parameters",
              options)
