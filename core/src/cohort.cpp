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

std::vector<std::int64_t> fit_cohort(const Job& job, int round) {
  const FederationSettings& federation = job.federation;
  const int size = cohort_size(federation.clients, federation.fraction_fit, federation.min_fit_clients);
  return sample_cohort(federation.clients, size, random_key(job.run.seed, Purpose::sample_clients, round));
}

std::vector<std::int64_t> evaluate_cohort(const Job& job, int round) {
  const FederationSettings& federation = job.federation;
  const int size = cohort_size(federation.clients, federation.fraction_evaluate, federation.min_evaluate_clients);
  // Part 1 of the round's key: part 0 would be the fit cohort again.
  const RandomKey key = derive(random_key(job.run.seed, Purpose::sample_clients, round), 1);
  return sample_cohort(federation.clients, size, key);
}

}  // namespace fedmpi
