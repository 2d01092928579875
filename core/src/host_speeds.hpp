#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace fedmpi {

// How long each host takes for a unit of cost (see training_costs), learned from round to round, so that a slow node is
// given less. The same on every rank, as it is made of what all have gathered; who fits whom changes no result.
class FEDMPI_API HostSpeeds {
 public:
  // Of one host in a round.
  struct Work {
    double cost = 0.0;
    double seconds = 0.0;
  };

  explicit HostSpeeds(std::size_t num_hosts);

  // [host], in seconds. Until the first round all are the same, of no known unit.
  std::span<const double> seconds_per_cost() const { return seconds_per_cost_; }
  bool are_known() const { return are_known_; }

  // [host]. Half of what a host is taken for is its newest round; one without clients is taken for what it was before,
  // or for the mean of the others.
  void learn(std::span<const Work> work);

 private:
  std::vector<double> seconds_per_cost_;
  std::vector<bool> was_seen_;
  bool are_known_ = false;
};

}  // namespace fedmpi
