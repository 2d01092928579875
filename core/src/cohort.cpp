#include "cohort.hpp"

#include "rule_choice.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include <fmt/format.h>

namespace fedmpi {

namespace {

// The clients with the `size` smallest scores, ascending; of equal ones the lower client.
std::vector<std::int64_t> smallest(std::span<const double> scores, int size) {
  std::vector<std::int64_t> clients(scores.size());
  std::iota(clients.begin(), clients.end(), std::int64_t{0});
  const auto before = [&](std::int64_t a, std::int64_t b) {
    return std::tuple(scores[static_cast<std::size_t>(a)], a) < std::tuple(scores[static_cast<std::size_t>(b)], b);
  };
  std::partial_sort(clients.begin(), clients.begin() + size, clients.end(), before);
  clients.resize(static_cast<std::size_t>(size));
  std::sort(clients.begin(), clients.end());
  return clients;
}

}  // namespace

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

std::vector<std::int64_t> poisson_cohort(int num_clients, double probability, int minimum, RandomKey key) {
  RandomStream stream{key};
  std::vector<double> scores;
  for (int client = 0; client < num_clients; ++client) scores.push_back(stream.uniform());
  const auto chosen = std::ranges::count_if(scores, [&](double score) { return score < probability; });
  return smallest(scores, std::max(static_cast<int>(chosen), minimum));
}

std::vector<std::int64_t> weighted_cohort(std::span<const double> weights, int size, RandomKey key) {
  RandomStream stream{key};
  // Waiting times of rate `weight`: who comes first. The logarithms of the paper's keys, with their sign turned.
  std::vector<double> scores;
  for (const double weight : weights) scores.push_back(-std::log(1.0 - stream.uniform()) / weight);
  return smallest(scores, size);
}

std::vector<std::int64_t> window_cohort(int num_clients, int size, int round) {
  const std::int64_t begin = std::int64_t{std::max(round, 1) - 1} * size;
  std::vector<std::int64_t> clients;
  for (std::int64_t i = 0; i < size; ++i) clients.push_back((begin + i) % num_clients);
  std::sort(clients.begin(), clients.end());
  return clients;
}

Cohorts::Cohorts(const Job& job, const Partition& partition) : job_{job} {
  for (const auto& examples : partition.train) weights_.push_back(static_cast<double>(examples.size()));
  const FederationSettings& federation = job.federation;
  if (federation.sampling.name != "trace") return;
  availability_.emplace(federation.sampling, federation.clients, job.run.rounds);
  check_availability();
}

void Cohorts::check_availability() const {
  const FederationSettings& federation = job_.federation;
  const auto check = [&](std::int64_t round, std::int64_t present, int minimum, const char* key) {
    if (present < minimum)
      refuse_file(federation.sampling, fmt::format("has {} client{} in round {}, but federation.{} is {}", present,
                                                   present == 1 ? "" : "s", round, key, minimum));
  };
  const std::int64_t every = job_.evaluation.every, last = job_.run.rounds;
  const bool evaluates = job_.evaluation.federated && federation.fraction_evaluate > 0.0;
  for (const Availability::Stretch& stretch : availability_->stretches()) {
    check(stretch.first, stretch.num_clients, federation.min_fit_clients, "min_fit_clients");
    // The first round of the stretch after which clients evaluate. Round 0 has the clients of round 1.
    std::int64_t round = (stretch.first + every - 1) / every * every;
    if (round > stretch.last) round = last;
    if (stretch.first == 1) round = 1;
    if (evaluates && round <= stretch.last)
      check(round, stretch.num_clients, federation.min_evaluate_clients, "min_evaluate_clients");
  }
}

std::vector<std::int64_t> Cohorts::choose(int round, double fraction, int minimum, RandomKey key) const {
  const FederationSettings& federation = job_.federation;
  const int size = cohort_size(federation.clients, fraction, minimum);
  const std::string& rule = federation.sampling.name;
  if (size == 0) return {};
  if (rule == "poisson") return poisson_cohort(federation.clients, fraction, minimum, key);
  if (rule == "weighted") return weighted_cohort(weights_, size, key);
  if (rule == "round_robin") return window_cohort(federation.clients, size, round);
  if (rule == "uniform") return sample_cohort(federation.clients, size, key);
  if (rule == "fixed") {
    std::vector<std::int64_t> clients = federation.sampling.options.get<std::vector<std::int64_t>>("clients");
    std::sort(clients.begin(), clients.end());
    return clients;
  }
  const std::vector<std::int64_t> present = availability_->clients(std::max(round, 1));
  std::vector<std::int64_t> clients;
  const int count = static_cast<int>(present.size());
  for (const std::int64_t position : sample_cohort(count, std::min(size, count), key))
    clients.push_back(present[static_cast<std::size_t>(position)]);
  return clients;
}

std::vector<std::int64_t> Cohorts::fit(int round) const {
  return choose(round, job_.federation.fraction_fit, job_.federation.min_fit_clients,
                random_key(job_.run.seed, Purpose::sample_clients, round));
}

std::vector<std::int64_t> Cohorts::evaluate(int round) const {
  // Part 1 of the round's key: part 0 would be the fit cohort again.
  return choose(round, job_.federation.fraction_evaluate, job_.federation.min_evaluate_clients,
                derive(random_key(job_.run.seed, Purpose::sample_clients, round), 1));
}

}  // namespace fedmpi
