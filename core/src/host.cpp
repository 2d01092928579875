#include "host.hpp"

#include "fedmpi/error.hpp"

namespace fedmpi {

Host::Host(Experiment& experiment, const Partition& partition)
    : experiment_{experiment},
      partition_{partition},
      trainer_{experiment.job, *experiment.model, *experiment.dataset, *experiment.strategy},
      sum_{experiment.model->layout().shared_size()} {}

void Host::begin_round(int round, int cohort_size) {
  round_ = round;
  outcome_ = {};
  sum_.clear(cohort_size);
}

void Host::fit(std::span<const std::int64_t> clients, const at::Tensor& global,
               const std::function<void(std::int64_t)>& advance) {
  for (const std::int64_t client : clients) {
    try {
      const auto& examples = partition_.train[static_cast<std::size_t>(client)];
      const FitRecord record = trainer_.fit(client, examples, round_, global, advance);
      sum_.add(trainer_.update(), record.weight);
      outcome_.records.push_back(record);
    } catch (const std::exception& error) {
      outcome_.failures.push_back({client, one_line(error)});
    }
  }
}

void Host::add(std::span<const FitRecord> records, const at::Tensor& sum) {
  outcome_.records.insert(outcome_.records.end(), records.begin(), records.end());
  sum_.sum().add_(sum);
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

}  // namespace fedmpi
