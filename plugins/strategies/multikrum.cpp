#include "fedmpi/plugin.hpp"
#include "fedmpi/rows.hpp"
#include "fedmpi/strategy.hpp"
#include "krum_scores.hpp"
#include "options.hpp"

#include <array>
#include <vector>

namespace {

// Multi-Krum (Blanchard et al. 2017, section 4 "Multi-Krum"; see krum_scores.hpp): the mean of the updates with the
// lowest scores, weighted by examples as in Flower. It needs n >= 2 f + 3 clients; compat = "flower" takes any number.
class MultiKrum final : public fedmpi::Strategy {
 public:
  explicit MultiKrum(const fedmpi::Options& options)
      : num_malicious_{options.get<std::int64_t>("num_malicious_clients")},
        num_selected_{options.get<std::int64_t>("num_nodes_to_select")},
        flower_{options.get<std::string>("compat") == "flower"} {}

  fedmpi::Exchange exchange() const override { return {.aggregation = fedmpi::Aggregation::slices, .products = true}; }

  std::vector<std::int64_t> compare(const at::Tensor& products, const fedmpi::FitRound& round) override {
    const std::int64_t n = products.size(0);
    if (!flower_) fedmpi::need_clients("multikrum", n, num_malicious_, 2 * num_malicious_ + 3);
    if (n < num_selected_) fedmpi::need_clients("multikrum", n, num_malicious_, num_selected_);
    const auto all = fedmpi::all_rows(n);
    const auto scores = fedmpi::krum_scores(fedmpi::squared_distances(products), all, num_malicious_);
    const auto chosen = fedmpi::lowest(scores, all, static_cast<std::size_t>(num_selected_));
    weights_.clear();
    double total = 0.0;
    for (const std::int64_t one : chosen)
      total += weights_.emplace_back(round.records[static_cast<std::size_t>(one)].weight);
    if (total > 0.0)
      for (double& weight : weights_) weight /= total;
    return chosen;
  }

  void aggregate_slice(at::Tensor global, at::Tensor, at::Tensor updates, const fedmpi::FitRound&) const override {
    global.add_(fedmpi::combine_rows(updates, weights_));
  }

 private:
  std::int64_t num_malicious_, num_selected_;
  bool flower_;
  std::vector<double> weights_;
};

constexpr std::array options{fedmpi::malicious_option,
                             fedmpi::OptionSpec{"num_nodes_to_select", fedmpi::OptionType::integer, "1",
                                                "updates that are averaged; 1: Krum", 1, 1e6},
                             fedmpi::compat_option};

}  // namespace

FEDMPI_PLUGIN(Strategy, MultiKrum, "multikrum", "1.0", "the mean of the updates that are nearest to their neighbours",
              options)
