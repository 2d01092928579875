#include "fedmpi/plugin.hpp"
#include "fedmpi/rows.hpp"
#include "fedmpi/strategy.hpp"

#include <array>

#include <ATen/ATen.h>

namespace {

// FedMedian (Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", definition
// 1): each coordinate's median over the clients, of an even number the mean of the two middle values. Examples do not
// count.
class FedMedian final : public fedmpi::Strategy {
 public:
  explicit FedMedian(const fedmpi::Options&) {}

  fedmpi::Exchange exchange() const override { return {.aggregation = fedmpi::Aggregation::slices}; }

  void aggregate_slice(at::Tensor global, at::Tensor, at::Tensor updates, const fedmpi::FitRound&) const override {
    fedmpi::sort_columns(updates);
    global.add_(fedmpi::median_of_sorted(updates));
  }
};

constexpr std::array<fedmpi::OptionSpec, 0> options{};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedMedian, "fedmedian", "1.0", "each coordinate's median over the clients", options)
