#include "fit_schedule.hpp"

#include "schedule.hpp"

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

namespace fedmpi {

void FitSchedule::deal_out(std::vector<std::int64_t> clients, std::vector<std::int64_t> costs, std::size_t num_hosts) {
  clients_ = std::move(clients);
  costs_ = std::move(costs);
  if (speeds_.seconds_per_cost().size() != num_hosts) speeds_ = HostSpeeds(num_hosts);
  shares_ = longest_first(costs_, speeds_.seconds_per_cost());
}

std::int64_t FitSchedule::total_cost() const {
  return std::accumulate(costs_.begin(), costs_.end(), std::int64_t{0});
}

std::vector<std::int64_t> FitSchedule::share(std::size_t host) const {
  std::vector<std::int64_t> own;
  for (const std::size_t piece : shares_[host]) own.push_back(clients_[piece]);
  return own;
}

void FitSchedule::learn(std::span<const FitRecord> records, RoundMetrics& metrics) {
  std::unordered_map<std::int64_t, double> seconds;
  for (const FitRecord& record : records) seconds[record.client] = record.seconds;
  std::vector<HostSpeeds::Work> work(shares_.size());
  double predicted = 0.0, longest = 0.0, sum = 0.0;
  for (std::size_t host = 0; host < shares_.size(); ++host) {
    for (const std::size_t piece : shares_[host]) {
      const auto found = seconds.find(clients_[piece]);
      if (found == seconds.end()) continue;  // it failed
      work[host].cost += static_cast<double>(costs_[piece]);
      work[host].seconds += found->second;
    }
    predicted = std::max(predicted, work[host].cost * speeds_.seconds_per_cost()[host]);
    longest = std::max(longest, work[host].seconds);
    sum += work[host].seconds;
  }
  if (longest == 0.0) return;
  if (speeds_.are_known()) metrics.hosts_predicted_seconds = predicted;
  metrics.hosts_longest_seconds = longest;
  metrics.hosts_idle_share = 1.0 - sum / (longest * static_cast<double>(shares_.size()));
  speeds_.learn(work);
}

}  // namespace fedmpi
