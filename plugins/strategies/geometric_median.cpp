#include "fedmpi/plugin.hpp"
#include "fedmpi/rows.hpp"
#include "fedmpi/strategy.hpp"
#include "options.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include <ATen/ATen.h>

namespace {

// RFA (Pillutla, Kakade & Harchaoui 2022, "Robust Aggregation for Federated Learning", algorithm 2, the smoothed
// Weiszfeld algorithm): the point whose distances to the updates, weighted by examples, have the smallest sum. It
// starts from the weighted mean. Every point on its way is a combination of the updates, so that all distances follow
// from their inner products.
class GeometricMedian final : public fedmpi::Strategy {
 public:
  explicit GeometricMedian(const fedmpi::Options& options)
      : num_iterations_{options.get<std::int64_t>("iterations")}, nu_{options.get<double>("nu")} {}

  fedmpi::Exchange exchange() const override { return {.aggregation = fedmpi::Aggregation::slices, .products = true}; }

  std::vector<std::int64_t> compare(const at::Tensor& products, const fedmpi::FitRound& round) override {
    const auto n = static_cast<std::size_t>(products.size(0));
    std::vector<double> alpha(n);
    for (std::size_t i = 0; i < n; ++i) alpha[i] = round.records[i].weight;
    weights_ = alpha;
    normalize(weights_);
    for (std::int64_t iteration = 0; iteration < num_iterations_; ++iteration) {
      const std::vector<double> distances = fedmpi::distances_from_combination(products, weights_);
      for (std::size_t i = 0; i < n; ++i) weights_[i] = alpha[i] / std::max(nu_, distances[i]);
      normalize(weights_);
    }
    return fedmpi::all_rows(products.size(0));
  }

  void aggregate_slice(at::Tensor global, at::Tensor, at::Tensor updates, const fedmpi::FitRound&) const override {
    global.add_(fedmpi::combine_rows(updates, weights_));
  }

 private:
  static void normalize(std::vector<double>& weights) {
    double total = 0.0;
    for (const double weight : weights) total += weight;
    for (double& weight : weights) weight /= total;
  }

  std::int64_t num_iterations_;
  double nu_;
  std::vector<double> weights_;
};

constexpr std::array options{
    fedmpi::OptionSpec{"iterations", fedmpi::OptionType::integer, "3", "of the Weiszfeld algorithm", 1, 1e6},
    fedmpi::OptionSpec{"nu", fedmpi::OptionType::number, "1e-6", "distances below it count as it, above 0", 1e-30},
};

}  // namespace

FEDMPI_PLUGIN(Strategy, GeometricMedian, "geometric_median", "1.0", "RFA: the updates' geometric median", options)
