#include "fedmpi/job.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"
#include "options.hpp"
#include "training_checks.hpp"

#include <array>

#include <ATen/ATen.h>

namespace {

// SCAFFOLD (Karimireddy et al. 2020, "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", algorithm 1,
// option II for the control variates): a client's steps are y <- y - eta_l (g - c_k + c); then c_k+ = c_k - c + (w - y)
// / (K eta_l). The server adds eta_g times the mean update to w, and |S| / N times the mean of c_k+ - c_k to c.
// Examples do not count. The client vector is c_k, the server vector c.
class Scaffold final : public fedmpi::Strategy {
 public:
  explicit Scaffold(const fedmpi::Options& options) : learning_rate_{options.get<double>("server_learning_rate")} {}

  void prepare(const fedmpi::TrainingSettings& training, const fedmpi::Layout& layout, int) override {
    fedmpi::need_plain_sgd(training, "scaffold", "corrects plain gradient steps");
    fedmpi::need_one_learning_rate(layout, "scaffold");
  }
  fedmpi::Exchange exchange() const override {
    return {.num_server_vectors = 1, .num_client_vectors = 1, .num_extra_updates = 1};
  }

  void adjust_gradients(at::Tensor gradients, const fedmpi::ClientFit& fit) const override {
    gradients.sub_(fit.client_vectors[0]).add_(fit.server_vectors[0]);
  }
  double weight(const fedmpi::FitRecord&) const override { return 1.0; }
  void finish_fit(at::Tensor updates, fedmpi::ClientFit& fit) const override {
    if (fit.sum_of_learning_rates == 0.0) return;
    const at::Tensor change = updates[1];
    change.copy_(updates[0]).mul_(-1.0 / fit.sum_of_learning_rates).sub_(fit.server_vectors[0]);
    fit.client_vectors[0].add_(change);
  }

  void aggregate(at::Tensor global, at::Tensor server_vectors, const at::Tensor& mean_updates,
                 const fedmpi::FitRound& round) override {
    global.add_(mean_updates[0], learning_rate_);
    server_vectors[0].add_(mean_updates[1], static_cast<double>(round.records.size()) / round.num_clients);
  }

 private:
  double learning_rate_;
};

constexpr std::array options{
    fedmpi::positive_option("server_learning_rate", "1.0", "eta_g, of the server's step"),
};

}  // namespace

FEDMPI_PLUGIN(Strategy, Scaffold, "scaffold", "1.0", "control variates correct the drift of the clients", options)
