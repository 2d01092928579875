#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/random.hpp"

#include <cstdint>
#include <vector>

namespace fedmpi {

// How many clients take part: max(trunc(clients * fraction), minimum), and none when the fraction is 0. The
// truncation is in double, as in Flower's FedAvg: 100 clients * 0.29 are 28.
FEDMPI_API int cohort_size(int num_clients, double fraction, int minimum);

// `size` different clients of 0..num_clients-1, uniformly without replacement, ascending. A function of the key alone.
FEDMPI_API std::vector<std::int64_t> sample_cohort(int num_clients, int size, RandomKey key);

// Who trains in a round, and who evaluates, ascending.
std::vector<std::int64_t> fit_cohort(const Job& job, int round);
std::vector<std::int64_t> evaluate_cohort(const Job& job, int round);

}  // namespace fedmpi
