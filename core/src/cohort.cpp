#include "cohort.hpp"

#include <algorithm>
#include <numeric>

namespace fedmpi {

int cohort_size(int num_clients, double fraction, int minimum) {
  if (fraction == 0.0) return 0;
  return std::max(static_cast<int>(num_clients * fraction), minimum);
}

std::vector<std::int64_t> sample_cohort(int num_clients, int size, RandomKey key) {
  std::vector<std::int64_t> clients(static_cast<std::size_t>(num_clients));
  std::iota(clients.begin(), clients.end(), std::int64_t{0});
  if (size == num_clients) return clients;
  RandomStream{key}.shuffle(clients);
  clients.resize(static_cast<std::size_t>(size));
  std::sort(clients.begin(), clients.end());
  return clients;
}

}  // namespace fedmpi
