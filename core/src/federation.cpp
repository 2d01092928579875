#include "fedmpi/federation.hpp"

#include "cohort.hpp"
#include "directory_lock.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/log.hpp"
#include "fedmpi/progress.hpp"
#include "host.hpp"
#include "outcome.hpp"
#include "recorder.hpp"
#include "schedule.hpp"
#include "stopwatch.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sys/resource.h>

namespace fedmpi {

namespace {

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

// One rank reads the file: others may not see it, or see an older one.
Experiment make_experiment(Communicator& communicator, const RunRequest& request) {
  std::string text;
  agree(communicator, [&] {
    if (communicator.is_server()) text = read_job_file(request.job);
  });
  communicator.broadcast(text);
  Experiment experiment;
  agree(communicator, [&] {
    Job job = parse_job(text, request.job.string(), request.settings);
    if (!request.output.empty()) job.run.output = request.output;
    job.plugin_directories.insert(job.plugin_directories.begin(), request.plugin_directories.begin(),
                                  request.plugin_directories.end());
    experiment = load_experiment(std::move(job));
  });
  return experiment;
}

// The protocol. Every rank makes one and calls run(): between two collectives the ranks differ in what they do, never
// in which collective comes next.
class Federation {
 public:
  Federation(Communicator& communicator, Experiment& experiment);
  void run(StartMode mode);

 private:
  void check_same_everywhere();
  void prepare(StartMode mode);
  void begin();
  void broadcast_global(RoundMetrics& metrics);
  void run_round(int round);
  FitOutcome fit(std::span<const std::int64_t> cohort, int round);
  void enforce_policy(const FitOutcome& outcome, int round) const;
  void aggregate(std::span<const FitRecord> records, int round);
  void evaluate(RoundMetrics& metrics);
  void finish_round(RoundMetrics metrics, const Stopwatch& stopwatch);

  Communicator& communicator_;
  Experiment& experiment_;
  const Job& job_;
  Partition partition_;
  std::optional<Checkpoint> resumed_;  // on the server, until the run goes on from it
  int first_round_ = 0;                // 0: the start of a fresh run
  at::Tensor global_;                  // float32 [layout.size()], the same on every rank between rounds
  std::unique_ptr<Host> host_;
  std::unique_ptr<DirectoryLock> lock_;  // on the server
  std::unique_ptr<Recorder> recorder_;   // on the server
  std::int64_t bytes_before_ = 0;
};

Federation::Federation(Communicator& communicator, Experiment& experiment)
    : communicator_{communicator}, experiment_{experiment}, job_{experiment.job} {}

void Federation::run(StartMode mode) {
  check_same_everywhere();
  prepare(mode);
  try {
    begin();
    for (int round = std::max(first_round_, 1); round <= job_.run.rounds; ++round) run_round(round);
  } catch (AgreedError& error) {
    error.is_user_error = false;  // the run's directory is written by now
    throw;
  } catch (const UserError& error) {
    throw Error(error.what());
  }
  if (recorder_) log(LogLevel::info, rounds_table(recorder_->rounds()));
}

// Node-local copies of plugins, data and models go stale: every rank must run the same bytes.
void Federation::check_same_everywhere() {
  std::string mine = experiment_.resolved_job + experiment_.dataset->digest() + experiment_.model->digest();
  for (const auto& [name, version] : experiment_.versions)
    if (name.starts_with("plugin.")) mine += version;
  const auto all = communicator_.all_gather(digest(mine));
  const auto other = std::find_if(all.begin(), all.end(), [&](const std::string& one) { return one != all[0]; });
  if (other != all.end())
    throw AgreedError(fmt::format("rank {} has other plugins, another dataset or another model than rank 0: give "
                                  "every node the same files",
                                  other - all.begin()),
                      true);
}

// All that can be a user's mistake. Writes nothing.
void Federation::prepare(StartMode mode) {
  agree(communicator_, [&] {
    partition_ = make_partition(job_, *experiment_.dataset);
    check_examples(*experiment_.model, *experiment_.dataset, partition_, communicator_.rank(), communicator_.size());
    if (!communicator_.is_server()) return;
    if (std::filesystem::is_directory(job_.run.output)) lock_ = std::make_unique<DirectoryLock>(job_.run.output);
    if (mode == StartMode::fresh) return Recorder::check_fresh(job_.run.output);
    resumed_ = Recorder::load_for_resume(experiment_);
    first_round_ = resumed_->round + 1;
  });
  at::Tensor first_round = at::full({1}, first_round_, at::kLong);
  communicator_.broadcast(first_round);
  first_round_ = static_cast<int>(first_round.item<std::int64_t>());
}

// Round 0, or the state after the last one that was done. From here on the run's directory is written.
void Federation::begin() {
  const Stopwatch stopwatch;
  const int threads = job_.run.threads != 0 ? job_.run.threads : communicator_.cores_per_host();
  at::set_num_threads(threads);
  agree(communicator_, [&] {
    global_ = at::zeros({experiment_.model->layout().size()}, at::kFloat);
    host_ = std::make_unique<Host>(experiment_, partition_);
    if (!communicator_.is_server()) return;
    if (!lock_) {
      std::filesystem::create_directories(job_.run.output);
      lock_ = std::make_unique<DirectoryLock>(job_.run.output);
      Recorder::check_fresh(job_.run.output);  // again: another run may have been faster
    }
    std::vector<std::string> history;
    if (resumed_) {
      global_.copy_(resumed_->parameters);
      experiment_.strategy->restore(resumed_->strategy_state);
      history = std::move(resumed_->history);
      resumed_.reset();
    } else {
      experiment_.model->initialize(global_, random_key(job_.run.seed, Purpose::initialise));
    }
    recorder_ = std::make_unique<Recorder>(experiment_, std::move(history));
  });
  agree(communicator_, [&] { open_log(job_.run.output / "log"); });
  log(LogLevel::info,
      fmt::format("{} clients on {} rank{}, {} thread{} a rank, {} parameters, output in {}", job_.federation.clients,
                  communicator_.size(), communicator_.size() == 1 ? "" : "s", threads, threads == 1 ? "" : "s",
                  experiment_.model->layout().shared_size(), job_.run.output.string()));
  if (communicator_.is_server() && experiment_.model->vocabulary_digest() != experiment_.dataset->vocabulary_digest())
    log(LogLevel::warning,
        "the model or the dataset does not say which vocabulary it has, so whether it is the same was not checked");
  RoundMetrics metrics{.round = 0};
  broadcast_global(metrics);
  if (first_round_ > job_.run.rounds) return log(LogLevel::info, "nothing to do: all rounds are done");
  if (first_round_ > 0) return log(LogLevel::info, fmt::format("resumed after round {}", first_round_ - 1));
  evaluate(metrics);
  finish_round(std::move(metrics), stopwatch);
}

void Federation::broadcast_global(RoundMetrics& metrics) {
  const Stopwatch stopwatch;
  communicator_.broadcast(global_);
  metrics.seconds.broadcast = stopwatch.seconds();
}

void Federation::run_round(int round) {
  const Stopwatch stopwatch;
  const FederationSettings& federation = job_.federation;
  const auto cohort = sample_cohort(
      federation.clients, cohort_size(federation.clients, federation.fraction_fit, federation.min_fit_clients),
      random_key(job_.run.seed, Purpose::sample_clients, round));
  RoundMetrics metrics{.round = round, .clients = static_cast<std::int64_t>(cohort.size())};

  const FitOutcome own = fit(cohort, round);
  auto records = communicator_.all_gather(std::span<const FitRecord>(own.records));
  const FitOutcome outcome = merge(std::move(records), communicator_.all_gather(pack(own.failures)));
  summarize(outcome, stopwatch.seconds(), metrics);
  enforce_policy(outcome, round);

  const Stopwatch aggregate_stopwatch;
  aggregate(outcome.records, round);
  metrics.seconds.aggregate = aggregate_stopwatch.seconds();
  broadcast_global(metrics);
  if (round % job_.evaluation.every == 0 || round == job_.run.rounds) evaluate(metrics);
  finish_round(std::move(metrics), stopwatch);
}

// This rank's part of the cohort.
FitOutcome Federation::fit(std::span<const std::int64_t> cohort, int round) {
  const auto cohort_costs = training_costs(partition_, *experiment_.dataset, cohort);
  std::int64_t total = 0;
  for (const std::int64_t cost : cohort_costs) total += cost * job_.training.local_epochs;
  Progress progress(fmt::format("round {}/{}: fit", round, job_.run.rounds), total, "tokens",
                    communicator_.is_server());
  FitOutcome own;
  if (communicator_.is_host(communicator_.rank())) {
    const int first_host = communicator_.size() == 1 ? 0 : 1;
    const auto schedule = longest_first(cohort_costs, static_cast<std::size_t>(communicator_.size() - first_host));
    std::vector<std::int64_t> clients;
    for (const std::size_t piece : schedule[static_cast<std::size_t>(communicator_.rank() - first_host)])
      clients.push_back(cohort[piece]);
    own = host_->fit(clients, static_cast<int>(cohort.size()), round, global_, [&](std::int64_t tokens) {
      communicator_.report(tokens);
      progress.advance(tokens);
    });
  } else {
    host_->sum().clear(static_cast<std::int64_t>(cohort.size()));
  }
  communicator_.await_reports([&](std::int64_t tokens) { progress.advance(tokens); });
  return own;
}

void Federation::enforce_policy(const FitOutcome& outcome, int round) const {
  if (outcome.failures.empty()) return;
  const ClientFailure& first = outcome.failures.front();
  if (job_.federation.on_client_failure == FailurePolicy::abort)
    throw AgreedError(fmt::format("round {}: client {} failed: {}", round, first.client, first.message), false);
  if (communicator_.is_server())
    for (const ClientFailure& failure : outcome.failures)
      log(LogLevel::warning, fmt::format("round {}: client {} is dropped: {}", round, failure.client, failure.message));
  if (static_cast<int>(outcome.records.size()) < job_.federation.min_fit_clients)
    throw AgreedError(
        fmt::format("round {}: {} clients succeeded, but federation.min_fit_clients is {}; client {} "
                    "failed first: {}",
                    round, outcome.records.size(), job_.federation.min_fit_clients, first.client, first.message),
        false);
}

void Federation::aggregate(std::span<const FitRecord> records, int round) {
  double total_weight = 0.0;
  for (const FitRecord& record : records) total_weight += record.weight;
  if (total_weight == 0.0) {
    if (communicator_.is_server())
      log(LogLevel::warning, fmt::format("round {}: no client counts, the parameters stay as they are", round));
    return;
  }
  communicator_.reduce_sum(host_->sum().sum());
  if (communicator_.is_server())
    experiment_.strategy->aggregate(global_.narrow(0, 0, experiment_.model->layout().shared_size()),
                                    host_->sum().mean(total_weight), records, round);
}

void Federation::evaluate(RoundMetrics& metrics) {
  const Stopwatch stopwatch;
  const FederationSettings& federation = job_.federation;
  const Dataset& dataset = *experiment_.dataset;
  std::vector<EvaluationBlock> blocks;
  if (!partition_.test.empty()) {
    const int size = cohort_size(federation.clients, federation.fraction_evaluate, federation.min_evaluate_clients);
    // Part 1 of the round's key: part 0 would be the fit cohort again.
    const RandomKey key = derive(random_key(job_.run.seed, Purpose::sample_clients, metrics.round), 1);
    for (const std::int64_t client : sample_cohort(federation.clients, size, key))
      append_blocks(blocks, dataset, partition_.test[static_cast<std::size_t>(client)], job_.evaluation.batch_size,
                    false);
  }
  append_blocks(blocks, dataset, partition_.central, job_.evaluation.batch_size, true);
  if (blocks.empty()) return;

  std::vector<std::int64_t> block_costs;
  std::int64_t total = 0;
  for (const EvaluationBlock& block : blocks) {
    block_costs.push_back(block.cost);
    total += block.cost;
  }
  const auto schedule = longest_first(block_costs, static_cast<std::size_t>(communicator_.size()));
  std::vector<BlockResult> own;
  agree(communicator_,
        [&] { own = host_->evaluate(blocks, schedule[static_cast<std::size_t>(communicator_.rank())], global_); });
  const Scores scores = combine(blocks, communicator_.all_gather(std::span<const BlockResult>(own)));
  if (scores.federated) {
    metrics.evaluate_loss = scores.federated->loss;
    metrics.evaluate_accuracy = scores.federated->accuracy;
  }
  if (scores.central) {
    metrics.central_loss = scores.central->loss;
    metrics.central_accuracy = scores.central->accuracy;
  }
  metrics.seconds.evaluate = stopwatch.seconds();
}

void Federation::finish_round(RoundMetrics metrics, const Stopwatch& stopwatch) {
  struct Usage {
    std::int64_t bytes_sent, peak_rss_bytes;
  };
  const Usage usage{communicator_.bytes_sent() - bytes_before_, peak_rss_bytes()};
  bytes_before_ = communicator_.bytes_sent();
  for (const Usage& one : communicator_.all_gather(std::span<const Usage>(&usage, 1))) {
    metrics.bytes_sent += one.bytes_sent;
    metrics.peak_rss_bytes = std::max(metrics.peak_rss_bytes, one.peak_rss_bytes);
  }
  if (recorder_) recorder_->finish_round(std::move(metrics), experiment_, global_, stopwatch);
}

}  // namespace

void run_federation(Communicator& communicator, const RunRequest& request) {
  Experiment experiment = make_experiment(communicator, request);
  Federation(communicator, experiment).run(request.mode);
}

}  // namespace fedmpi
