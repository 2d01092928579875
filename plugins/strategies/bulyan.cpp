#include "fedmpi/plugin.hpp"
#include "fedmpi/rows.hpp"
#include "fedmpi/strategy.hpp"
#include "krum_scores.hpp"
#include "options.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include <ATen/ATen.h>

namespace {

// Bulyan (El Mhamdi, Guerraoui & Rouault 2018, "The Hidden Vulnerability of Distributed Learning in Byzantium", section
// 4): Krum chooses theta = n - 2 f updates one after another, each from those that are left; then each coordinate is
// the mean of its theta - 2 f values that are nearest to their median. It needs n >= 4 f + 3. compat = "flower": all
// theta are chosen at once, by their first scores.
class Bulyan final : public fedmpi::Strategy {
 public:
  explicit Bulyan(const fedmpi::Options& options)
      : num_malicious_{options.get<std::int64_t>("num_malicious_clients")},
        flower_{options.get<std::string>("compat") == "flower"} {}

  fedmpi::Exchange exchange() const override { return {.aggregation = fedmpi::Aggregation::slices, .products = true}; }

  std::vector<std::int64_t> compare(const at::Tensor& products, const fedmpi::FitRound&) override {
    const std::int64_t n = products.size(0);
    fedmpi::need_clients("bulyan", n, num_malicious_, 4 * num_malicious_ + 3);
    const auto theta = static_cast<std::size_t>(n - 2 * num_malicious_);
    const at::Tensor distances = fedmpi::squared_distances(products);
    auto left = fedmpi::all_rows(n);
    if (flower_) return fedmpi::lowest(fedmpi::krum_scores(distances, left, num_malicious_), left, theta);
    std::vector<std::int64_t> chosen;
    while (chosen.size() < theta) {
      const auto scores = fedmpi::krum_scores(distances, left, num_malicious_);
      const auto best = std::min_element(scores.begin(), scores.end()) - scores.begin();
      chosen.push_back(left[static_cast<std::size_t>(best)]);
      left.erase(left.begin() + best);
    }
    std::sort(chosen.begin(), chosen.end());
    return chosen;
  }

  void aggregate_slice(at::Tensor global, at::Tensor, at::Tensor updates, const fedmpi::FitRound&) const override {
    fedmpi::sort_columns(updates);
    const at::Tensor median = fedmpi::median_of_sorted(updates);
    const std::int64_t theta = updates.size(0), length = updates.size(1), beta = theta - 2 * num_malicious_;
    const float *values = updates.const_data_ptr<float>(), *middle = median.const_data_ptr<float>();
    float* output = global.data_ptr<float>();
    for (std::int64_t column = 0; column < length; ++column) {
      const auto value = [&](std::int64_t row) { return values[row * length + column]; };
      // The nearest of sorted values are neighbours: of the window of theta, the farther end is given up each time.
      std::int64_t begin = 0, end = theta;
      while (end - begin > beta) {
        if (middle[column] - value(begin) > value(end - 1) - middle[column])
          ++begin;
        else
          --end;
      }
      double sum = 0.0;
      for (std::int64_t row = begin; row < end; ++row) sum += static_cast<double>(value(row));
      output[column] += static_cast<float>(sum / static_cast<double>(beta));
    }
  }

 private:
  std::int64_t num_malicious_;
  bool flower_;
};

constexpr std::array options{fedmpi::malicious_option, fedmpi::compat_option};

}  // namespace

FEDMPI_PLUGIN(Strategy, Bulyan, "bulyan", "1.0", "Krum's choice of updates, then a trimmed mean around their median",
              options)
