#include "fedmpi/federation.hpp"

#include "cohort.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/log.hpp"
#include "fedmpi/progress.hpp"
#include "host.hpp"
#include "recorder.hpp"
#include "schedule.hpp"

#include <algorithm>
#include <chrono>
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

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

// The protocol. Every rank makes one and calls run(): between two collectives the ranks differ in what they do, never
// in which collective comes next.
class Federation {
 public:
  Federation(Communicator& communicator, Experiment& experiment);
  void run(StartMode mode);

 private:
  void check_same_everywhere();
  void start(StartMode mode);
  void broadcast_global();
  void run_round(int round);
  FitOutcome fit(int round, std::span<const std::int64_t> cohort);
  FitOutcome gather(const FitOutcome& own);
  void enforce_policy(int round, const FitOutcome& outcome) const;
  void aggregate(int round, std::span<const FitRecord> records);
  void evaluate(int round, RoundMetrics& metrics);
  void finish_round(RoundMetrics metrics, Clock::time_point start);
  std::vector<std::int64_t> costs(std::span<const std::int64_t> clients) const;

  Communicator& communicator_;
  Experiment& experiment_;
  const Job& job_;
  Partition partition_;
  at::Tensor global_;  // float32 [layout.size()], the same on every rank between rounds
  std::unique_ptr<Host> host_;
  std::unique_ptr<Recorder> recorder_;  // on the server
  std::int64_t bytes_before_ = 0;
  int first_round_ = 1;
};

Federation::Federation(Communicator& communicator, Experiment& experiment)
    : communicator_{communicator}, experiment_{experiment}, job_{experiment.job} {}

void Federation::run(StartMode mode) {
  check_same_everywhere();
  start(mode);
  for (int round = first_round_; round <= job_.run.rounds; ++round) run_round(round);
  if (recorder_) log(LogLevel::info, rounds_table(recorder_->rounds()));
}

// Node-local copies of plugins and data go stale: every rank must run the same bytes.
void Federation::check_same_everywhere() {
  std::string mine = experiment_.resolved_job + experiment_.dataset->digest();
  for (const auto& [name, version] : experiment_.versions)
    if (name.starts_with("plugin.")) mine += version;
  const auto all = communicator_.all_gather(digest(mine));
  const auto other = std::find_if(all.begin(), all.end(), [&](const std::string& one) { return one != all[0]; });
  if (other != all.end())
    throw AgreedError(
        fmt::format("rank {} has other plugins or another dataset than rank 0: give every node the same files",
                    other - all.begin()),
        true);
}

void Federation::start(StartMode mode) {
  const auto start_time = Clock::now();
  const int threads = job_.run.threads != 0 ? job_.run.threads : communicator_.cores_per_host();
  at::set_num_threads(threads);
  std::optional<Checkpoint> checkpoint;
  agree(communicator_, [&] {
    partition_ = make_partition(job_, *experiment_.dataset);
    if (!communicator_.is_server()) return;
    if (mode == StartMode::fresh)
      Recorder::check_fresh(job_.run.output);
    else
      checkpoint = Recorder::load_for_resume(experiment_);
  });
  // From here on the run's directory is written.
  agree(communicator_, [&] {
    global_ = at::zeros({experiment_.model->layout().size()}, at::kFloat);
    host_ = std::make_unique<Host>(experiment_, partition_);
    if (!communicator_.is_server()) return;
    if (checkpoint) {
      global_.copy_(checkpoint->parameters);
      experiment_.strategy->restore(checkpoint->strategy_state);
      first_round_ = checkpoint->round + 1;
    } else {
      experiment_.model->initialize(global_, random_key(job_.run.seed, Purpose::initialise));
    }
    recorder_ = std::make_unique<Recorder>(experiment_, checkpoint ? checkpoint->history : std::vector<std::string>());
  });
  agree(communicator_, [&] { open_log(job_.run.output / "log"); });
  at::Tensor first_round = at::full({1}, first_round_, at::kLong);
  communicator_.broadcast(first_round);
  first_round_ = static_cast<int>(first_round.item<std::int64_t>());
  log(LogLevel::info,
      fmt::format("{} clients on {} rank{}, {} thread{} a rank, {} parameters, output in {}", job_.federation.clients,
                  communicator_.size(), communicator_.size() == 1 ? "" : "s", threads, threads == 1 ? "" : "s",
                  experiment_.model->layout().shared_size(), job_.run.output.string()));

  RoundMetrics metrics{.round = 0};
  const auto broadcast_start = Clock::now();
  broadcast_global();
  metrics.seconds.broadcast = seconds_since(broadcast_start);
  if (mode == StartMode::resume) {
    log(LogLevel::info, fmt::format("resumed after round {}", first_round_ - 1));
    return;
  }
  evaluate(0, metrics);
  finish_round(std::move(metrics), start_time);
}

void Federation::broadcast_global() {
  communicator_.broadcast(global_);
}

void Federation::run_round(int round) {
  const auto start_time = Clock::now();
  const FederationSettings& federation = job_.federation;
  const auto cohort = sample_cohort(
      federation.clients, cohort_size(federation.clients, federation.fraction_fit, federation.min_fit_clients),
      random_key(job_.run.seed, Purpose::sample_clients, round));
  RoundMetrics metrics{.round = round, .clients = static_cast<std::int64_t>(cohort.size())};

  const FitOutcome outcome = gather(fit(round, cohort));
  metrics.seconds.fit = seconds_since(start_time);
  enforce_policy(round, outcome);
  metrics.failures = static_cast<std::int64_t>(outcome.failures.size());
  double loss_sum = 0.0, examples = 0.0, tokens = 0.0;
  for (const FitRecord& record : outcome.records) {
    loss_sum += record.loss * static_cast<double>(record.num_examples);
    examples += static_cast<double>(record.num_examples);
    tokens += static_cast<double>(record.num_tokens);
  }
  if (!outcome.records.empty()) {
    metrics.fit_loss = loss_sum / examples;
    metrics.tokens_per_second = tokens / *metrics.seconds.fit;
  }

  const auto aggregate_start = Clock::now();
  aggregate(round, outcome.records);
  metrics.seconds.aggregate = seconds_since(aggregate_start);
  const auto broadcast_start = Clock::now();
  broadcast_global();
  metrics.seconds.broadcast = seconds_since(broadcast_start);
  if (round % job_.evaluation.every == 0 || round == job_.run.rounds) evaluate(round, metrics);
  finish_round(std::move(metrics), start_time);
}

// This rank's part of the cohort.
FitOutcome Federation::fit(int round, std::span<const std::int64_t> cohort) {
  const auto cohort_costs = costs(cohort);
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

// Everybody's outcomes on every rank, in ascending client order: what follows is then computed alike everywhere.
FitOutcome Federation::gather(const FitOutcome& own) {
  FitOutcome all{.records = communicator_.all_gather(std::span<const FitRecord>(own.records))};
  std::sort(all.records.begin(), all.records.end(),
            [](const FitRecord& a, const FitRecord& b) { return a.client < b.client; });
  std::string failures;
  for (const ClientFailure& failure : own.failures) failures += fmt::format("{} {}\n", failure.client, failure.message);
  for (const std::string& part : communicator_.all_gather(failures)) {
    for (std::size_t begin = 0; begin < part.size();) {
      const std::size_t end = part.find('\n', begin), space = part.find(' ', begin);
      all.failures.push_back({std::stoll(part.substr(begin, space - begin)), part.substr(space + 1, end - space - 1)});
      begin = end + 1;
    }
  }
  std::sort(all.failures.begin(), all.failures.end(),
            [](const ClientFailure& a, const ClientFailure& b) { return a.client < b.client; });
  return all;
}

void Federation::enforce_policy(int round, const FitOutcome& outcome) const {
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

void Federation::aggregate(int round, std::span<const FitRecord> records) {
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

void Federation::evaluate(int round, RoundMetrics& metrics) {
  const auto start_time = Clock::now();
  const FederationSettings& federation = job_.federation;
  const Dataset& dataset = *experiment_.dataset;
  std::vector<EvaluationBlock> blocks;
  if (!partition_.test.empty()) {
    const int size = cohort_size(federation.clients, federation.fraction_evaluate, federation.min_evaluate_clients);
    // Part 1 of the round's key: part 0 would be the fit cohort again.
    const RandomKey key = derive(random_key(job_.run.seed, Purpose::sample_clients, round), 1);
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
  metrics.seconds.evaluate = seconds_since(start_time);
}

void Federation::finish_round(RoundMetrics metrics, Clock::time_point start) {
  struct Usage {
    std::int64_t bytes_sent, peak_rss_bytes;
  };
  const Usage usage{communicator_.bytes_sent() - bytes_before_, peak_rss_bytes()};
  bytes_before_ = communicator_.bytes_sent();
  for (const Usage& one : communicator_.all_gather(std::span<const Usage>(&usage, 1))) {
    metrics.bytes_sent += one.bytes_sent;
    metrics.peak_rss_bytes = std::max(metrics.peak_rss_bytes, one.peak_rss_bytes);
  }
  if (recorder_) recorder_->finish_round(std::move(metrics), experiment_, global_, start);
}

std::vector<std::int64_t> Federation::costs(std::span<const std::int64_t> clients) const {
  const auto lengths = experiment_.dataset->lengths(Split::train);
  std::vector<std::int64_t> costs;
  for (const std::int64_t client : clients) {
    std::int64_t cost = 0;
    for (const std::int64_t example : partition_.train[static_cast<std::size_t>(client)])
      cost += lengths[static_cast<std::size_t>(example)];
    costs.push_back(cost);
  }
  return costs;
}

}  // namespace

void run_federation(Communicator& communicator, Experiment& experiment, StartMode mode) {
  Federation(communicator, experiment).run(mode);
}

}  // namespace fedmpi
