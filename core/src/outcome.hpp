#pragma once

#include "client_states.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/metrics.hpp"
#include "fedmpi/strategy.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

// What a client keeps for its next round.
struct ClientKept {
  std::int64_t client = 0;
  KeptState state;
};

// What became of a round's fits: on one rank, or gathered from all.
struct FitOutcome {
  std::vector<FitRecord> records;
  std::vector<ClientFailure> failures;
  std::vector<ClientKept> kept;  // of `records`, where clients keep anything
};

// Failures as bytes, on their way to every rank.
std::string pack(std::span<const ClientFailure> failures);

// Everybody's outcome in ascending client order, so that whatever is computed from it is the same on every rank.
FitOutcome merge(std::vector<FitRecord> records, std::span<const std::string> packed_failures);

// Throws AgreedError when the job's policy does not let the round go on without those who failed. `outcome` is
// everybody's, so every rank throws alike.
void enforce_policy(const FitOutcome& outcome, const FederationSettings& federation, int round);

// Fills in what the fits say of a round. The clients `fitted` (ascending) were fitted in `seconds`, the others before.
void summarize(const FitOutcome& outcome, std::span<const std::int64_t> fitted, double seconds, RoundMetrics& metrics);

}  // namespace fedmpi
