#include "fedmpi/plugin.hpp"
#include "fedmpi/rows.hpp"
#include "fedmpi/strategy.hpp"

#include <array>
#include <vector>

#include <ATen/ATen.h>

namespace {

// FedTrimmedAvg (Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
// definition 2): of each coordinate's n values the int(beta * n) smallest and largest are cut off, the others' mean is
// taken. Examples do not count.
class FedTrimmedAvg final : public fedmpi::Strategy {
 public:
  explicit FedTrimmedAvg(const fedmpi::Options& options) : beta_{options.get<double>("beta")} {}

  fedmpi::Exchange exchange() const override { return {.aggregation = fedmpi::Aggregation::slices}; }

  void aggregate_slice(at::Tensor global, at::Tensor, at::Tensor updates, const fedmpi::FitRound&) const override {
    const std::int64_t n = updates.size(0), cut = static_cast<std::int64_t>(beta_ * static_cast<double>(n));
    const std::int64_t left = n - 2 * cut;
    fedmpi::sort_columns(updates);
    const std::vector<double> weights(static_cast<std::size_t>(left), 1.0 / static_cast<double>(left));
    global.add_(fedmpi::combine_rows(updates.narrow(0, cut, left), weights));
  }

 private:
  double beta_;
};

constexpr std::array options{
    fedmpi::OptionSpec{"beta", fedmpi::OptionType::number, "0.2", "share that is cut off at each end, below one half",
                       0, 0.499999},
};

}  // namespace

FEDMPI_PLUGIN(Strategy, FedTrimmedAvg, "fedtrimmedavg", "1.0",
              "each coordinate's mean over the clients without its extremes", options)
