#include "host.hpp"

#include <algorithm>

#include <c10/util/Exception.h>

namespace fedmpi {

Host::Host(Experiment& experiment, const Partition& partition)
    : experiment_{experiment},
      partition_{partition},
      trainer_{experiment.job, *experiment.model, *experiment.dataset, *experiment.strategy},
      sum_{experiment.model->layout().shared_size()} {}

FitOutcome Host::fit(std::span<const std::int64_t> clients, int cohort_size, int round, const at::Tensor& global,
                     const std::function<void(std::int64_t)>& advance) {
  FitOutcome outcome;
  sum_.clear(cohort_size);
  for (const std::int64_t client : clients) {
    try {
      const auto& examples = partition_.train[static_cast<std::size_t>(client)];
      const FitRecord record = trainer_.fit(client, examples, round, global, advance);
      sum_.add(trainer_.update(), record.weight);
      outcome.records.push_back(record);
    } catch (const std::exception& error) {
      outcome.failures.push_back({client, one_line(error)});
    }
  }
  return outcome;
}

std::vector<BlockResult> Host::evaluate(std::span<const EvaluationBlock> blocks, std::span<const std::size_t> chosen,
                                        const at::Tensor& global) {
  trainer_.load(global);
  std::vector<BlockResult> results;
  for (const std::size_t block : chosen)
    results.push_back({static_cast<std::int64_t>(block),
                       experiment_.model->evaluate(experiment_.dataset->batch(Split::test, blocks[block].examples))});
  return results;
}

std::string one_line(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  std::string message = torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  return message;
}

}  // namespace fedmpi
