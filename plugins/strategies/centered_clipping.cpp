#include "fedmpi/plugin.hpp"
#include "fedmpi/rows.hpp"
#include "fedmpi/strategy.hpp"
#include "options.hpp"

#include <array>
#include <vector>

#include <ATen/ATen.h>

namespace {

// Centered clipping (Karimireddy, He & Jaggi 2021, "Learning from History for Byzantine Robust Optimization", equation
// CC): v <- v + mean((u_i - v) min(1, tau / |u_i - v|)), a few times, from the round before's v. Examples do not count.
// v is always a combination of the updates and the old v, so that all distances follow from their inner products.
class CenteredClipping final : public fedmpi::Strategy {
 public:
  explicit CenteredClipping(const fedmpi::Options& options)
      : num_iterations_{options.get<std::int64_t>("iterations")}, tau_{options.get<double>("tau")} {}

  fedmpi::Exchange exchange() const override {
    return {.aggregation = fedmpi::Aggregation::slices, .num_server_vectors = 1, .products = true};
  }

  std::vector<std::int64_t> compare(const at::Tensor& products, const fedmpi::FitRound&) override {
    const auto rows = static_cast<std::size_t>(products.size(0));  // the updates, then the old v
    const std::size_t n = rows - 1;
    weights_.assign(rows, 0.0);
    weights_[n] = 1.0;
    for (std::int64_t iteration = 0; iteration < num_iterations_; ++iteration) {
      const std::vector<double> distances = fedmpi::distances_from_combination(products, weights_);
      std::vector<double> next(weights_);
      for (std::size_t i = 0; i < n; ++i) {
        const double factor = (distances[i] > tau_ ? tau_ / distances[i] : 1.0) / static_cast<double>(n);
        next[i] += factor;
        for (std::size_t j = 0; j < rows; ++j) next[j] -= factor * weights_[j];
      }
      weights_ = next;
    }
    return fedmpi::all_rows(static_cast<std::int64_t>(n));
  }

  void aggregate_slice(at::Tensor global, at::Tensor server_vectors, at::Tensor updates,
                       const fedmpi::FitRound&) const override {
    const at::Tensor v = fedmpi::combine_rows(at::cat({updates, server_vectors}), weights_);
    server_vectors[0].copy_(v);
    global.add_(v);
  }

 private:
  std::int64_t num_iterations_;
  double tau_;
  std::vector<double> weights_;
};

constexpr std::array options{
    fedmpi::OptionSpec{"tau", fedmpi::OptionType::number, "10.0", "length at which a difference is clipped", 0},
    fedmpi::OptionSpec{"iterations", fedmpi::OptionType::integer, "1", "in a round", 1, 1e6},
};

}  // namespace

FEDMPI_PLUGIN(Strategy, CenteredClipping, "centered_clipping", "1.0",
              "updates are clipped around the last aggregate before they are averaged", options)
