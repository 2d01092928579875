#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace fedmpi {

// Longest processing time first (Graham 1969, "Bounds on multiprocessing timing anomalies"): pieces of work in
// descending cost, each to the worker that would be done with it first, the lowest of those that are equal. Workers may
// differ in speed: `seconds_per_cost` has one number above 0 for each, of any unit. Returns each worker's pieces
// (indices into `costs`, in the order they were given out). A pure function: every rank computes the same.
FEDMPI_API std::vector<std::vector<std::size_t>> longest_first(std::span<const std::int64_t> costs,
                                                               std::span<const double> seconds_per_cost);

// Of workers that are alike.
FEDMPI_API std::vector<std::vector<std::size_t>> longest_first(std::span<const std::int64_t> costs,
                                                               std::size_t num_workers);

}  // namespace fedmpi
