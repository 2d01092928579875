#include "schedule.hpp"

#include <algorithm>
#include <numeric>

namespace fedmpi {

std::vector<std::vector<std::size_t>> longest_first(std::span<const std::int64_t> costs,
                                                    std::span<const double> seconds_per_cost) {
  std::vector<std::size_t> order(costs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return costs[a] > costs[b]; });
  std::vector<std::vector<std::size_t>> pieces(seconds_per_cost.size());
  std::vector<double> loads(seconds_per_cost.size(), 0.0);
  for (const std::size_t piece : order) {
    const auto cost = static_cast<double>(costs[piece]);
    std::size_t first = 0;
    for (std::size_t worker = 1; worker < loads.size(); ++worker)
      if ((loads[worker] + cost) * seconds_per_cost[worker] < (loads[first] + cost) * seconds_per_cost[first])
        first = worker;
    pieces[first].push_back(piece);
    loads[first] += cost;
  }
  return pieces;
}

std::vector<std::vector<std::size_t>> longest_first(std::span<const std::int64_t> costs, std::size_t num_workers) {
  return longest_first(costs, std::vector<double>(num_workers, 1.0));
}

}  // namespace fedmpi
