#pragma once

#include "fedmpi/error.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <ATen/ATen.h>

namespace fedmpi {

// Krum's score (Blanchard et al. 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent",
// section 4) of each of `candidates`: the sum of the squared distances to its m - f - 2 nearest among them, at least
// one. `distances`: squared, float64 [n, n].
inline std::vector<double> krum_scores(const at::Tensor& distances, const std::vector<std::int64_t>& candidates,
                                       std::int64_t num_malicious) {
  const auto m = static_cast<std::int64_t>(candidates.size());
  const auto num_nearest = static_cast<std::size_t>(std::max<std::int64_t>(1, m - num_malicious - 2));
  const auto distance = distances.accessor<double, 2>();
  std::vector<double> scores;
  for (const std::int64_t one : candidates) {
    std::vector<double> others;
    for (const std::int64_t other : candidates)
      if (other != one) others.push_back(distance[one][other]);
    std::sort(others.begin(), others.end());
    others.resize(std::min(others.size(), num_nearest));
    scores.push_back(std::accumulate(others.begin(), others.end(), 0.0));
  }
  return scores;
}

// The `count` candidates with the lowest scores, equal ones in their order; ascending.
inline std::vector<std::int64_t> lowest(const std::vector<double>& scores, const std::vector<std::int64_t>& candidates,
                                        std::size_t count) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  std::vector<std::int64_t> chosen;
  for (std::size_t i = 0; i < std::min(count, order.size()); ++i) chosen.push_back(candidates[order[i]]);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

// Of n clients, f may be malicious only where n >= least.
inline void need_clients(const char* strategy, std::int64_t n, std::int64_t num_malicious, std::int64_t least) {
  if (n < least)
    throw Error("the strategy '" + std::string(strategy) +
                "' with num_malicious_clients = " + std::to_string(num_malicious) + " needs " + std::to_string(least) +
                " clients in a round, but there are " + std::to_string(n) + ": raise federation.min_fit_clients");
}

}  // namespace fedmpi
