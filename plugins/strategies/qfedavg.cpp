#include "fedmpi/error.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/rows.hpp"
#include "fedmpi/strategy.hpp"
#include "options.hpp"
#include "training_checks.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <ATen/ATen.h>

namespace {

// q-FedAvg (Li et al. 2020, "Fair Resource Allocation in Federated Learning", algorithm 2). With L = 1 / the clients'
// learning rate and F_k the loss of client k at the round's start: w <- w - sum(F_k^q L (w - w_k)) / sum(h_k),
// h_k = q F_k^(q-1) |L (w - w_k)|^2 + L F_k^q. compat = "flower": F_k is the mean loss while training. It works on
// slices because F_k^q spans more orders of magnitude than weights of a fixed-point sum may.
class QFedAvg final : public fedmpi::Strategy {
 public:
  explicit QFedAvg(const fedmpi::Options& options)
      : q_{options.get<double>("q")},
        learning_rate_{options.get<double>("client_learning_rate")},
        flower_{options.get<std::string>("compat") == "flower"} {}

  void prepare(const fedmpi::TrainingSettings& training, const fedmpi::Layout& layout, int) override {
    fedmpi::need_one_learning_rate(layout, "qfedavg");
    if (learning_rate_ == 0.0) learning_rate_ = training.learning_rate;
    if (learning_rate_ == 0.0)
      throw fedmpi::UserError("the strategy 'qfedavg' divides by the clients' learning rate: set it above 0");
  }
  fedmpi::Exchange exchange() const override {
    return {.aggregation = fedmpi::Aggregation::slices, .initial_loss = !flower_, .update_norm = true};
  }

  void aggregate_slice(at::Tensor global, at::Tensor, at::Tensor updates,
                       const fedmpi::FitRound& round) const override {
    const double l = 1.0 / learning_rate_;
    double largest = 0.0, h = 0.0;
    for (const fedmpi::FitRecord& record : round.records) largest = std::max(largest, loss(record));
    std::vector<double> weights;
    for (const fedmpi::FitRecord& record : round.records) {
      // Beside the largest loss, which the quotient of the two sums does not know.
      const double f = loss(record) / largest, gradient = l * record.update_norm;
      weights.push_back(l * std::pow(f, q_));
      h += q_ * std::pow(f, q_ - 1.0) * gradient * gradient / largest + l * std::pow(f, q_);
    }
    for (double& weight : weights) weight /= h;
    global.add_(fedmpi::combine_rows(updates, weights));
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
