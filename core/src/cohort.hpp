#pragma once

#include "availability.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/random.hpp"
#include "partition.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fedmpi {

// How many clients take part: max(trunc(clients * fraction), minimum), and none when the fraction is 0. The
// truncation is in double, as in Flower's FedAvg: 100 clients * 0.29 are 28.
FEDMPI_API int cohort_size(int num_clients, double fraction, int minimum);

// Each of these gives different clients of 0..num_clients-1, ascending, as a function of its arguments alone.

// `size` of them, uniformly without replacement.
FEDMPI_API std::vector<std::int64_t> sample_cohort(int num_clients, int size, RandomKey key);

// Each with this probability, independently of the others. Where they are fewer than `minimum`, those who were nearest
// to being chosen come too: what is computed of Poisson sampling (privacy) holds only where that hardly ever happens.
FEDMPI_API std::vector<std::int64_t> poisson_cohort(int num_clients, double probability, int minimum, RandomKey key);

// `size` of them without replacement, the next one always with probabilities proportional to the weights (> 0) of those
// that are left (Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir").
FEDMPI_API std::vector<std::int64_t> weighted_cohort(std::span<const double> weights, int size, RandomKey key);

// `size` in a row, round after round, 0 after the last client. Round 0 is as round 1.
FEDMPI_API std::vector<std::int64_t> window_cohort(int num_clients, int size, int round);

// Who takes part in which round, by federation.sampling (job_rules): a function of the job, of how many train examples
// each client has and of the round. The same rule chooses who trains and, with the fraction and the minimum of
// evaluation, who evaluates; in round 0, which only evaluates, "trace" has the clients of round 1.
class FEDMPI_API Cohorts {
 public:
  // `job` must outlive it. FileError for a trace that is not understood or has too few clients in some round of the
  // run.
  Cohorts(const Job& job, const Partition& partition);

  // Ascending. "trace" gives fewer than the fraction says, though not fewer than the minimum, where no more are there.
  std::vector<std::int64_t> fit(int round) const;
  std::vector<std::int64_t> evaluate(int round) const;

 private:
  std::vector<std::int64_t> choose(int round, double fraction, int minimum, RandomKey key) const;
  void check_availability() const;

  const Job& job_;
  std::vector<double> weights_;  // [client]
  std::optional<Availability> availability_;
};

}  // namespace fedmpi
