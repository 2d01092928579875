#include "fedmpi/error.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/strategy.hpp"
#include "options.hpp"

#include <array>
#include <cmath>

#include <ATen/ATen.h>

namespace {

// q-FedAvg (Li et al. 2020, "Fair Resource Allocation in Federated Learning", algorithm 2). With L = 1 / the clients'
// learning rate and F_k the loss of client k at the round's start: w <- w - sum(F_k^q L (w - w_k)) / sum(h_k),
// h_k = q F_k^(q-1) |L (w - w_k)|^2 + L F_k^q. compat = "flower": F_k is the mean loss while training.
class QFedAvg final : public fedmpi::Strategy {
 public:
  explicit QFedAvg(const fedmpi::Options& options)
      : q_{options.get<double>("q")},
        learning_rate_{options.get<double>("client_learning_rate")},
        flower_{options.get<std::string>("compat") == "flower"} {}

  void prepare(const fedmpi::TrainingSettings& training, const fedmpi::Layout&, int) override {
    if (learning_rate_ == 0.0) learning_rate_ = training.learning_rate;
    if (learning_rate_ == 0.0)
      throw fedmpi::UserError("the strategy 'qfedavg' divides by the clients' learning rate: set it above 0");
  }
  fedmpi::Exchange exchange() const override { return {.initial_loss = !flower_, .update_norm = true}; }

  double weight(const fedmpi::FitRecord& record) const override { return std::pow(loss(record), q_); }

  void aggregate(at::Tensor global, at::Tensor, const at::Tensor& mean_updates,
                 const fedmpi::FitRound& round) override {
    const double l = 1.0 / learning_rate_;
    double weights = 0.0, h = 0.0;
    for (const fedmpi::FitRecord& record : round.records) {
      const double f = loss(record), gradient = l * record.update_norm;
      weights += record.weight;
      h += q_ * std::pow(f, q_ - 1.0) * gradient * gradient + l * std::pow(f, q_);
    }
    global.add_(mean_updates[0], l * weights / h);
  }

 private:
  double loss(const fedmpi::FitRecord& record) const { return (flower_ ? record.loss : record.initial_loss) + 1e-10; }

  double q_, learning_rate_;
  bool flower_;
};

constexpr std::array options{
    fedmpi::positive_option("q", "0.1", "fairness: 0 counts all clients alike"),
    fedmpi::positive_option("client_learning_rate", "0", "0: training.learning_rate"),
    fedmpi::compat_option,
};

}  // namespace

FEDMPI_PLUGIN(Strategy, QFedAvg, "qfedavg", "1.0", "clients with a larger loss count more, for fairness", options)
