#include "host_speeds.hpp"

namespace fedmpi {

HostSpeeds::HostSpeeds(std::size_t num_hosts) : seconds_per_cost_(num_hosts, 1.0), was_seen_(num_hosts, false) {}

void HostSpeeds::learn(std::span<const Work> work) {
  Work all;
  for (std::size_t host = 0; host < work.size(); ++host) {
    const auto& [cost, seconds] = work[host];
    if (cost <= 0.0 || seconds <= 0.0) continue;
    all.cost += cost;
    all.seconds += seconds;
    double& known = seconds_per_cost_[host];
    known = was_seen_[host] ? (known + seconds / cost) / 2 : seconds / cost;
    was_seen_[host] = true;
  }
  if (all.cost == 0.0) return;
  are_known_ = true;
  for (std::size_t host = 0; host < work.size(); ++host)
    if (!was_seen_[host]) seconds_per_cost_[host] = all.seconds / all.cost;
}

}  // namespace fedmpi
