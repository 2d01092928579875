#include "fedmpi/error.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"
#include "options.hpp"
#include "training_checks.hpp"

#include <array>

#include <ATen/ATen.h>

namespace {

// MimeLite with momentum (Karimireddy et al. 2021, "Breaking the centralized barrier for cross-device federated
// learning", algorithm 1 and table 1, SGDm): clients step with (1 - beta) g + beta m, where m is the server's and stays
// as it is in a round; the server then moves m by the mean of the clients' whole gradients at the round's start, m <-
// (1 - beta) c + beta m. Examples do not count. The server vector is m.
class MimeLite final : public fedmpi::Strategy {
 public:
  explicit MimeLite(const fedmpi::Options& options) : beta_{options.get<double>("beta")} {}

  void prepare(const fedmpi::TrainingSettings& training, const fedmpi::Layout&, int) override {
    fedmpi::need_plain_sgd(training, "mimelite", "brings the server's momentum");
  }
  fedmpi::Exchange exchange() const override {
    return {.num_server_vectors = 1, .num_extra_updates = 1, .global_gradient = true};
  }

  void adjust_gradients(at::Tensor gradients, const fedmpi::ClientFit& fit) const override {
    gradients.mul_(1.0 - beta_).add_(fit.server_vectors[0], beta_);
  }
  double weight(const fedmpi::FitRecord&) const override { return 1.0; }
  void finish_fit(at::Tensor updates, fedmpi::ClientFit& fit) const override { updates[1].copy_(fit.global_gradient); }

  void aggregate(at::Tensor global, at::Tensor server_vectors, const at::Tensor& mean_updates,
                 const fedmpi::FitRound&) override {
    global.add_(mean_updates[0]);
    server_vectors[0].mul_(beta_).add_(mean_updates[1], 1.0 - beta_);
  }

 private:
  double beta_;
};

constexpr std::array options{fedmpi::fraction_option("beta", "0.9", "momentum of the server's mean gradient")};

}  // namespace

FEDMPI_PLUGIN(Strategy, MimeLite, "mimelite", "1.0", "clients step with the server's momentum", options)
