#include "outcome.hpp"

#include "fedmpi/communicator.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace fedmpi {

std::string pack(std::span<const ClientFailure> failures) {
  std::string bytes;
  for (const ClientFailure& failure : failures) bytes += fmt::format("{} {}\n", failure.client, failure.message);
  return bytes;
}

FitOutcome merge(std::vector<FitRecord> records, std::span<const std::string> packed_failures) {
  FitOutcome all{.records = std::move(records)};
  for (const std::string& part : packed_failures) {
    for (std::size_t begin = 0; begin < part.size();) {
      const std::size_t end = part.find('\n', begin), space = part.find(' ', begin);
      all.failures.push_back({std::stoll(part.substr(begin, space - begin)), part.substr(space + 1, end - space - 1)});
      begin = end + 1;
    }
  }
  const auto by_client = [](const auto& a, const auto& b) { return a.client < b.client; };
  std::sort(all.records.begin(), all.records.end(), by_client);
  std::sort(all.failures.begin(), all.failures.end(), by_client);
  return all;
}

void enforce_policy(const FitOutcome& outcome, const FederationSettings& federation, int round) {
  if (outcome.failures.empty()) return;
  const ClientFailure& first = outcome.failures.front();
  if (federation.on_client_failure == FailurePolicy::abort)
    throw AgreedError(fmt::format("round {}: client {} failed: {}", round, first.client, first.message), false);
  if (static_cast<int>(outcome.records.size()) < federation.min_fit_clients)
    throw AgreedError(
        fmt::format("round {}: {} clients succeeded, but federation.min_fit_clients is {}; client {} "
                    "failed first: {}",
                    round, outcome.records.size(), federation.min_fit_clients, first.client, first.message),
        false);
}

void summarize(const FitOutcome& outcome, std::span<const std::int64_t> fitted, double seconds, RoundMetrics& metrics) {
  metrics.seconds.fit = seconds;
  metrics.failures = static_cast<std::int64_t>(outcome.failures.size());
  metrics.failed = outcome.failures;
  if (outcome.records.empty()) return;
  double loss_sum = 0.0, examples = 0.0, tokens = 0.0;
  for (const FitRecord& record : outcome.records) {
    loss_sum += record.loss * static_cast<double>(record.num_examples);
    examples += static_cast<double>(record.num_examples);
    if (std::ranges::binary_search(fitted, record.client)) tokens += static_cast<double>(record.num_tokens);
  }
  metrics.fit_loss = loss_sum / examples;
  metrics.tokens_per_second = tokens / seconds;
}

}  // namespace fedmpi
