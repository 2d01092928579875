#pragma once

#include "fedmpi/check.hpp"
#include "fedmpi/export.hpp"
#include "forecast.hpp"

#include <cstdint>

namespace fedmpi {

// What Communicator::bytes_sent of all ranks comes to in one round. `num_chosen`: see Rates. `evaluations`: how many
// there are, a mean may be less than one.
FEDMPI_API double sent_bytes(const RoundWork& round, const JobWork& work, std::int64_t num_chosen, double evaluations,
                             const Cluster& cluster);

}  // namespace fedmpi
