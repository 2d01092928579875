#include "schedule.hpp"

#include <algorithm>
#include <numeric>

namespace fedmpi {

std::vector<std::vector<std::size_t>> longest_first(std::span<const std::int64_t> costs, std::size_t num_workers) {
  std::vector<std::size_t> order(costs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return costs[a] > costs[b]; });
  std::vector<std::vector<std::size_t>> pieces(num_workers);
  std::vector<std::int64_t> loads(num_workers, 0);
  for (const std::size_t piece : order) {
    const auto worker = static_cast<std::size_t>(std::min_element(loads.begin(), loads.end()) - loads.begin());
    pieces[worker].push_back(piece);
    loads[worker] += costs[piece];
  }
  return pieces;
}

}  // namespace fedmpi
