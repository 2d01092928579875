#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"

#include <cstdint>
#include <vector>

namespace fedmpi {

// Which clients are there in which round (1-based), by the file of the sampling "trace":
//   {"rounds": [[0, 2], [1]]}                      clients 0 and 2 in round 1, client 1 in round 2
//   {"clients": [[[1, 5], [9, 9]], [[2, 3]]]}      client 0 in rounds 1 to 5 and in 9, client 1 in rounds 2 and 3
// The first form has a list for each round of the run, the second one for each client.
class FEDMPI_API Availability {
 public:
  // FileError: not such a file, a client that does not exist or that stands twice in a round, stays that are not in
  // ascending order.
  Availability(const RuleChoice& rule, int num_clients, int num_rounds);

  std::vector<std::int64_t> clients(int round) const;  // ascending

  // Rounds in a row with the same number of clients, from round 1 to the last.
  struct Stretch {
    std::int64_t first = 0, last = 0;
    std::int64_t num_clients = 0;
  };
  std::vector<Stretch> stretches() const;

 private:
  struct Stay {
    std::int64_t first = 0, last = 0;
  };
  std::int64_t num_rounds_;
  std::vector<std::vector<Stay>> stays_;  // [client], ascending
};

}  // namespace fedmpi
