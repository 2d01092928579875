#pragma once

#include "fedmpi/communicator.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/strategy.hpp"
#include "update_spool.hpp"

#include <span>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// The server half of a strategy on slices: updates travel so that each rank works on a range of coordinates of all of
// them at a time, and no rank ever has more than a few slices in memory. Collective. `own`: this rank's records, in the
// order of `spool`; `global` float32 [size] and `server_vectors` [k, size]: what the round started from, on every rank.
// Returns, on the server, the next parameters and server vectors, float32 [1 + k, size]; elsewhere [0, size]. The bits
// do not depend on the number of ranks. AgreedError when the strategy throws on any rank.
FEDMPI_API at::Tensor aggregate_slices(Communicator& communicator, Strategy& strategy, const FitRound& round,
                                       std::span<const FitRecord> own, const UpdateSpool& spool,
                                       const at::Tensor& global, const at::Tensor& server_vectors);

}  // namespace fedmpi
