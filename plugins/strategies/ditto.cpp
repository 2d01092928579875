#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"
#include "options.hpp"

#include <array>

#include <ATen/ATen.h>

namespace {

// Ditto (Li et al. 2021, "Ditto: Fair and Robust Federated Learning Through Personalization", algorithm 1): besides
// FedAvg's model each client fits one of its own, minimising F_k(v) + lambda / 2 |v - w_t|^2, from where it left it.
// That is what a client's own test examples are evaluated with. The client vector is v.
class Ditto final : public fedmpi::Strategy {
 public:
  explicit Ditto(const fedmpi::Options& options) : lambda_{options.get<double>("lambda")} {}

  fedmpi::Exchange exchange() const override { return {.num_client_vectors = 1, .personal_model = true}; }

  void adjust_personal_gradients(at::Tensor gradients, const fedmpi::ClientFit& fit) const override {
    gradients.add_(fit.parameters, lambda_).sub_(fit.global, lambda_);
  }

 private:
  double lambda_;
};

constexpr std::array options{
    fedmpi::positive_option("lambda", "0.1", "how much a personal model is drawn to the global one")};

}  // namespace

FEDMPI_PLUGIN(Strategy, Ditto, "ditto", "1.0", "FedAvg, and a personal model for each client", options)
