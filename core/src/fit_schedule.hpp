#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/metrics.hpp"
#include "fedmpi/strategy.hpp"
#include "host_speeds.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fedmpi {

// Which host fits which clients, by their cost and by what the hosts took in the rounds before. Every rank makes it of
// the same and so comes to the same; who fits whom changes no result.
class FEDMPI_API FitSchedule {
 public:
  // `costs`: [client of `clients`], see training_costs.
  void deal_out(std::vector<std::int64_t> clients, std::vector<std::int64_t> costs, std::size_t num_hosts);

  const std::vector<std::int64_t>& clients() const { return clients_; }
  std::int64_t total_cost() const;
  std::vector<std::int64_t> share(std::size_t host) const;  // in the order in which it fits them

  // Takes in how long the fits took and fills in what that says of the hosts. `records`: everybody's.
  void learn(std::span<const FitRecord> records, RoundMetrics& metrics);

  // After a loss ranks may have learned different things.
  void forget() { speeds_ = HostSpeeds(0); }

 private:
  std::vector<std::int64_t> clients_, costs_;
  std::vector<std::vector<std::size_t>> shares_;  // [host]: into clients_
  HostSpeeds speeds_{0};
};

}  // namespace fedmpi
