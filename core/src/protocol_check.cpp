#include "evaluation.hpp"
#include "node.hpp"
#include "protocol.hpp"
#include "schedule.hpp"

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <unistd.h>

namespace fedmpi {

std::optional<CheckReport> Protocol::check(const CheckRequest& request, const Stopwatch& since_start) {
  check_same_everywhere();
  communicator_.set_transport(experiment_.transport, experiment_.device, job_.federation.transport_join_seconds);
  prepare();
  const NodeView view = view_of_node(communicator_, job_.run.output);
  const std::vector<NodeView> views = communicator_.all_gather(std::span(&view, 1));
  Cluster there = planned_cluster(views, request, job_.run.threads, communicator_.cores_per_host());
  there.shares_memory = communicator_.shares_memory() && experiment_.device.is_cpu() && !experiment_.transport;
  const Cluster here = cluster_of(views, there.threads);
  at::set_num_threads(there.threads);
  std::optional<RateMeasurement> measurement;
  try {
    agree(communicator_, [&] {
      std::error_code error;
      const std::filesystem::path temporary = std::filesystem::temp_directory_path(error);
      if (error) throw UserError("there is no directory for temporary files: name one in TMPDIR");
      // What clients keep is written by a fit, and no other rank reads it here.
      scratch_ = temporary / fmt::format("fedmpi-check-{}", ::getpid());
      owns_scratch_ = true;
      state_ = std::make_unique<FederatedState>(experiment_, client_states_directory(checkpoints_), scratch_);
      measurement.emplace(experiment_, partition_, *state_);
      if (!record_) return;
      if (resumed_)
        state_->restore(*std::exchange(resumed_, std::nullopt));
      else
        state_->initialize();
    });
    broadcast_all();
    const double start_seconds = since_start.seconds();
    const Trial trial = try_round(*measurement, here);
    const std::vector<Trial> trials = communicator_.all_gather(std::span(&trial, 1));
    if (!communicator_.is_server()) return std::nullopt;
    return report_of({.experiment = experiment_,
                      .partition = partition_,
                      .cohorts = *cohorts_,
                      .first_round = first_round_,
                      .last_round = last_round_,
                      .trials = trials,
                      .views = views,
                      .here = here,
                      .there = there,
                      .start_seconds = start_seconds,
                      .seconds_left = time_limit_.seconds_left()});
  } catch (AgreedError& error) {
    error.is_user_error = true;  // a run would fail, and nothing was written
    throw;
  }
}

// A round in small: the same work in the same order, and how long it takes.
Trial Protocol::try_round(RateMeasurement& measurement, const Cluster& cluster) {
  Trial trial;
  const int round = std::clamp(first_round_, 1, last_round_);
  const Stopwatch evaluate_stopwatch;
  const auto blocks = evaluation_blocks(job_, *experiment_.dataset, partition_, cohorts_->evaluate(round));
  std::vector<std::int64_t> block_costs;
  for (const EvaluationBlock& block : blocks) block_costs.push_back(block.cost);
  const auto schedule = longest_first(block_costs, static_cast<std::size_t>(communicator_.size()));
  const double plan_evaluate_seconds = evaluate_stopwatch.seconds();
  agree(communicator_, [&] { measurement.evaluate(blocks, schedule[static_cast<std::size_t>(communicator_.rank())]); });
  trial.bytes_evaluated = peak_bytes() - communicator_.mapped_bytes();

  const Stopwatch fit_stopwatch;
  const auto cohort = cohorts_->fit(round);
  deal_out(cohort);
  std::vector<std::int64_t> own;
  if (communicator_.is_host(communicator_.rank())) own = own_share();
  const double plan_fit_seconds = fit_stopwatch.seconds();
  try_fits(measurement, round, own, trial);
  trial.bytes_fitted = peak_bytes() - communicator_.mapped_bytes();
  try_server(measurement, round, cohort, trial);
  try_collectives(measurement, trial);
  trial.bytes_mapped = mapped_file_bytes();
  trial.bytes = peak_bytes() - communicator_.mapped_bytes();
  trial.collectives.copy_bytes_per_second = copy_bytes_per_second();  // last: it takes memory
  trial.has_fitted = measurement.has_fitted() ? 1 : 0;
  trial.is_cut_short = measurement.is_cut_short() ? 1 : 0;
  Rates rates = measurement.rates();
  rates.plan_evaluate_seconds = plan_evaluate_seconds;
  rates.plan_fit_seconds = plan_fit_seconds;
  trial.rates = as_if_alone(rates, cluster, communicator_.rank(), std::ssize(cohort));
  return trial;
}

void Protocol::try_fits(RateMeasurement& measurement, int round, std::span<const std::int64_t> own, Trial& trial) {
  std::exception_ptr failure;
  try {
    measurement.fit(own, round, [](std::int64_t) {});
  } catch (const std::exception&) {
    failure = std::current_exception();  // the others are waiting for this rank
  }
  communicator_.await_reports([](std::int64_t) {}, [] { return false; });
  agree(communicator_, [&] {
    if (failure) std::rethrow_exception(failure);
  });
  const auto fitted = communicator_.all_gather(std::span<const FitRecord>(measurement.host().outcome().records));
  if (!fitted.empty()) trial.record = fitted.front();
}

void Protocol::try_server(RateMeasurement& measurement, int round, std::span<const std::int64_t> cohort, Trial& trial) {
  if (cohort.empty()) return;
  agree(communicator_, [&] {
    const auto records = likely_records(experiment_, partition_, cohort, trial.record);
    if (exchange_.aggregation == Aggregation::slices) measurement.slice(records, round);
    if (communicator_.is_server()) trial.server = measurement.serve(*state_, records, round, scratch_);
  });
}

// Each once before it counts.
void Protocol::try_collectives(RateMeasurement& measurement, Trial& trial) {
  constexpr int num_votes = 5;
  communicator_.reduce_sum(measurement.host().sum().sum());
  broadcast_shared();
  const Stopwatch broadcast_stopwatch;
  broadcast_shared();
  agree(communicator_, [] {});  // the server is done when the others have it
  trial.collectives.broadcast = broadcast_stopwatch.seconds();
  const Stopwatch reduce_stopwatch;
  communicator_.reduce_sum(measurement.host().sum().sum());
  trial.collectives.reduce = reduce_stopwatch.seconds();
  agree(communicator_, [] {});
  const Stopwatch vote_stopwatch;
  for (int i = 0; i < num_votes; ++i) agree(communicator_, [] {});
  trial.collectives.vote = vote_stopwatch.seconds() / num_votes;
}

}  // namespace fedmpi
