#include "fedmpi/error.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"

#include <array>
#include <cmath>

#include <ATen/ATen.h>

namespace {

// FedNova (Wang et al. 2020, "Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization",
// equation 8): an update is divided by the norm a_k of its steps' weights, and the mean of those is multiplied by the
// mean of a_k, both weighted by examples. a_k is the number of steps of plain SGD; with momentum rho (section 4.1) it
// is (tau - rho (1 - rho^tau) / (1 - rho)) / (1 - rho). A learning rate's schedule, the same for all clients over a
// round, cancels between the two.
class FedNova final : public fedmpi::Strategy {
 public:
  explicit FedNova(const fedmpi::Options&) {}

  void prepare(const fedmpi::TrainingSettings& training, const fedmpi::Layout&, int) override {
    if (training.optimizer != fedmpi::OptimizerKind::sgd || training.momentum >= 1.0)
      throw fedmpi::UserError(
          "the strategy 'fednova' counts steps of gradient descent: set training.optimizer = \"sgd\" and "
          "training.momentum below 1");
    momentum_ = training.momentum;
  }

  void finish_fit(at::Tensor updates, fedmpi::ClientFit& fit) const override { updates[0].div_(norm(fit.record)); }

  void aggregate(at::Tensor global, at::Tensor, const at::Tensor& mean_updates,
                 const fedmpi::FitRound& round) override {
    double weights = 0.0, norms = 0.0;
    for (const fedmpi::FitRecord& record : round.records) {
      weights += record.weight;
      norms += record.weight * norm(record);
    }
    global.add_(mean_updates[0], norms / weights);
  }

 private:
  double norm(const fedmpi::FitRecord& record) const {
    const auto steps = static_cast<double>(record.num_steps);
    return (steps - momentum_ * (1.0 - std::pow(momentum_, steps)) / (1.0 - momentum_)) / (1.0 - momentum_);
  }

  double momentum_ = 0.0;
};

constexpr std::array<fedmpi::OptionSpec, 0> options{};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedNova, "fednova", "1.0", "updates are normalised by the steps that made them", options)
