#include "fedmpi/plugin.hpp"
#include "fedmpi/rows.hpp"
#include "fedmpi/strategy.hpp"
#include "krum_scores.hpp"
#include "options.hpp"

#include <array>
#include <vector>

namespace {

// Krum (Blanchard et al. 2017, see krum_scores.hpp): the update with the lowest score, of equal ones the first, is the
// round's. It needs n >= 2 f + 3 clients; compat = "flower" takes any number.
class Krum final : public fedmpi::Strategy {
 public:
  explicit Krum(const fedmpi::Options& options)
      : num_malicious_{options.get<std::int64_t>("num_malicious_clients")},
        flower_{options.get<std::string>("compat") == "flower"} {}

  fedmpi::Exchange exchange() const override { return {.aggregation = fedmpi::Aggregation::slices, .products = true}; }

  std::vector<std::int64_t> compare(const at::Tensor& products, const fedmpi::FitRound&) override {
    const std::int64_t n = products.size(0);
    if (!flower_) fedmpi::need_clients("krum", n, num_malicious_, 2 * num_malicious_ + 3);
    const auto all = fedmpi::all_rows(n);
    return fedmpi::lowest(fedmpi::krum_scores(fedmpi::squared_distances(products), all, num_malicious_), all, 1);
  }

  void aggregate_slice(at::Tensor global, at::Tensor, at::Tensor updates, const fedmpi::FitRound&) const override {
    global.add_(updates[0]);
  }

 private:
  std::int64_t num_malicious_;
  bool flower_;
};

constexpr std::array options{fedmpi::malicious_option, fedmpi::compat_option};

}  // namespace

FEDMPI_PLUGIN(Strategy, Krum, "krum", "1.0", "the one update that is nearest to its neighbours", options)
