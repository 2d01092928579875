#include "protocol.hpp"

#include "aggregation.hpp"
#include "device.hpp"
#include "evaluation.hpp"
#include "fedmpi/digest.hpp"
#include "fedmpi/log.hpp"
#include "fedmpi/progress.hpp"
#include "node.hpp"
#include "partition_statistics.hpp"
#include "recorder.hpp"
#include "schedule.hpp"
#include "stop_signals.hpp"
#include "verification.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

namespace fedmpi {

namespace {

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

// How often a host tells of its work and looks whether it is to be given up: both cost more than a small model's step.
constexpr double report_seconds = 0.05;

// A group of clients that are fitted at once takes so long, if there are as many.
constexpr double short_group_seconds = 0.25;

// Passes through Host::fit, which takes an exception of the standard for a client's failure.
struct FitGivenUp {};

}  // namespace

Protocol::Protocol(Communicator& communicator, Experiment& experiment, const RunRequest& request,
                   TimeLimit::Clock::time_point start)
    : communicator_{communicator},
      experiment_{experiment},
      job_{experiment.job},
      verifies_{request.mode == RunMode::verify},
      on_signal_{request.on_signal},
      exchange_{experiment.strategy->exchange()},
      time_limit_{request.mode == RunMode::verify ? 0.0 : experiment.job.run.max_seconds, start},
      checkpoints_{verifies_ ? request.job.parent_path() : job_.run.output / "checkpoints"},
      partial_rounds_{experiment} {
  if (!communicator.is_server()) return;
  if (verifies_)
    record_ = std::make_unique<Verification>(experiment, request.job, request.num_rounds, request.from_start);
  else
    record_ = std::make_unique<Recorder>(experiment, request.mode);
}

Protocol::~Protocol() {
  communicator_.drop_transport();  // the experiment's
  std::error_code ignored;
  if (owns_scratch_) std::filesystem::remove_all(scratch_, ignored);
}

RunEnd Protocol::run(bool& begun) {
  check_same_everywhere();
  communicator_.set_transport(experiment_.transport, experiment_.device, job_.federation.transport_join_seconds);
  prepare();
  try {
    begun = true;
    begin();
    round_ = std::max(first_round_, 1);
    phase_ = fitting;
    while (round_ <= last_round_ && !stopped_) {
      try {
        run_round();
      } catch (const RankLost&) {
        rejoin();
      }
    }
    clear_partial_rounds(round_ - 1);
  } catch (AgreedError& error) {
    // The run's directory is written by now, unless it is one that could not be made.
    std::error_code ignored;
    if (verifies_ || std::filesystem::exists(job_.run.output, ignored)) error.is_user_error = false;
    throw;
  } catch (const UserError& error) {
    throw Error(error.what());
  }
  if (stopped_) return RunEnd::stopped;
  if (record_) log(LogLevel::info, record_->summary());
  return RunEnd::done;
}

// Node-local copies of plugins, data and models go stale: every rank must run the same bytes.
void Protocol::check_same_everywhere() {
  std::string mine = experiment_.resolved_job + experiment_.dataset->digest() + experiment_.model->digest();
  for (const Plugin& plugin : experiment_.plugins) mine += plugin.digest;
  for (const auto& [name, version] : device_versions(experiment_.device)) mine += version;
  const auto all = communicator_.all_gather(digest(mine));
  const auto other = std::find_if(all.begin(), all.end(), [&](const std::string& one) { return one != all[0]; });
  if (other != all.end())
    throw AgreedError(fmt::format("rank {} has other plugins, another dataset or another model{} than rank 0: give "
                                  "every node the same{}",
                                  other - all.begin(), experiment_.device.is_cpu() ? "" : ", or another kind of GPU,",
                                  experiment_.device.is_cpu() ? " files" : ""),
                      true);
}

// All that can be a user's mistake. Writes nothing.
void Protocol::prepare() {
  agree(communicator_, [&] {
    partition_ = make_partition(job_, *experiment_.dataset);
    cohorts_.emplace(job_, partition_);
    check_examples(*experiment_.model, *experiment_.dataset, partition_, communicator_.rank(), communicator_.size());
    if (!record_) return;
    RunStart start = record_->open();
    resumed_ = std::move(start.checkpoint);
    first_round_ = resumed_ ? resumed_->round + 1 : 0;
    last_round_ = start.last_round;
  });
  const at::Tensor rounds = at::tensor({first_round_, last_round_}, at::kInt);
  communicator_.broadcast(rounds);
  first_round_ = rounds[0].item<int>();
  last_round_ = rounds[1].item<int>();
  choose_scratch();
}

// Round 0, or the state after the last one that was done. From here on the run's directory is written.
void Protocol::begin() {
  const Stopwatch stopwatch;
  const int threads = job_.run.threads != 0 ? job_.run.threads : communicator_.cores_per_host();
  at::set_num_threads(threads);
  agree(communicator_, [&] {
    state_ = std::make_unique<FederatedState>(experiment_, client_states_directory(checkpoints_), scratch_);
    host_ = std::make_unique<Host>(experiment_, partition_, state_->clients);
    if (!record_) return;
    record_->begin(partition_);
    if (resumed_)
      state_->restore(*std::exchange(resumed_, std::nullopt));
    else
      state_->initialize();
  });
  if (!verifies_) agree(communicator_, [&] { open_log(job_.run.output / "log"); });
  log(LogLevel::info,
      fmt::format("{} clients on {} rank{}, {} thread{} a rank, {}{} parameters{}", job_.federation.clients,
                  communicator_.size(), communicator_.size() == 1 ? "" : "s", threads, threads == 1 ? "" : "s",
                  experiment_.device.is_cpu() ? "" : "GPU " + experiment_.versions.at("gpu") + ", ",
                  experiment_.model->layout().shared_size(),
                  verifies_ ? "" : fmt::format(", output in {}", job_.run.output.string())));
  if (communicator_.is_server() && communicator_.size() > 1 && !communicator_.shares_memory())
    log(LogLevel::info, "the system lets no rank read another's memory, or limits the size of files: all is sent");
  if (record_ && !verifies_ && job_.data.partition.name != "iid")
    log(LogLevel::info, fmt::format("partition \"{}\":\n{}", job_.data.partition.name,
                                    statistics_table(partition_statistics(partition_, *experiment_.dataset),
                                                     experiment_.dataset->size(Split::train))));
  if (communicator_.is_server() && experiment_.model->vocabulary_digest() != experiment_.dataset->vocabulary_digest())
    log(LogLevel::warning,
        "the model or the dataset does not say which vocabulary it has, so whether it is the same was not checked");
  metrics_ = {.round = 0};
  broadcast_all();
  note_stop_signals();
  communicator_.set_frozen_rank_seconds(job_.federation.frozen_rank_seconds);
  if (first_round_ > last_round_) return log(LogLevel::info, "nothing to do: all rounds are done");
  if (first_round_ > 0) return log(LogLevel::info, fmt::format("resumed after round {}", first_round_ - 1));
  evaluate();
  finish_round(stopwatch);
  stop_if_agreed();
}

// Where clients' files go: a verification leaves nothing beside the checkpoint.
void Protocol::choose_scratch() {
  std::string path = client_states_directory(checkpoints_).string();
  if (verifies_) path = (std::filesystem::temp_directory_path() / fmt::format("fedmpi-verify-{}", ::getpid())).string();
  communicator_.broadcast(path);
  scratch_ = path;
  owns_scratch_ = verifies_ && communicator_.is_server();
  if (!verifies_ ||
      kept_sizes(experiment_.strategy->exchange(), experiment_.model->layout(), job_.federation.compression).total() ==
          0)
    return;
  agree(communicator_, [&] {
    if (owns_scratch_) std::filesystem::create_directories(scratch_);
  });
  agree(communicator_, [&] {
    if (!std::filesystem::exists(scratch_))
      throw UserError(
          fmt::format("{} is not a directory that all nodes share, and another node may need what a client keeps: set "
                      "TMPDIR to one, or verify on one node",
                      scratch_.parent_path().string()));
  });
}

// What every rank must know before the next round.
void Protocol::broadcast_all() {
  const Stopwatch stopwatch;
  communicator_.broadcast(state_->global);
  communicator_.broadcast(state_->server_vectors.view(-1));
  const std::vector<NamedTensor> kept = state_->clients.save();
  for (const NamedTensor& part : kept) communicator_.broadcast(part.tensor.view(-1));
  state_->clients.restore(kept, std::max(first_round_ - 1, 0));
  metrics_.seconds.broadcast = stopwatch.seconds();
}

void Protocol::broadcast_shared() {
  const Stopwatch stopwatch;
  communicator_.broadcast(state_->shared);
  communicator_.broadcast(state_->server_vectors.view(-1));
  metrics_.seconds.broadcast = stopwatch.seconds();
}

void Protocol::run_round() {
  const Stopwatch stopwatch;
  if (phase_ == fitting) aggregate_round(stopwatch);
  if (stopped_) return;
  if (phase_ != recorded) {
    broadcast_shared();
    if (round_ % job_.evaluation.every == 0 || round_ == last_round_) evaluate();
    finish_round(stopwatch);
  }
  stop_if_agreed();
  ++round_;
  phase_ = fitting;
}

// Until the server has the round's parameters, or the round is given up.
void Protocol::aggregate_round(const Stopwatch& stopwatch) {
  metrics_ = {.round = round_};
  const auto cohort = cohorts_->fit(round_);
  metrics_.clients = static_cast<std::int64_t>(cohort.size());
  if (!fit(cohort)) return stop(round_ - 1, time_limit_.is_over() ? out_of_time : by_signal);

  const FitOutcome& own = host_->outcome();
  auto records = communicator_.all_gather(std::span<const FitRecord>(own.records));
  const FitOutcome outcome = merge(std::move(records), communicator_.all_gather(pack(own.failures)));
  if (state_->clients.is_needed()) kept_ = communicator_.all_gather(std::span<const ClientKept>(own.kept));
  if (!outcome.failures.empty()) keep(true);  // the job may end now
  summarize(outcome, schedule_.clients(), stopwatch.seconds(), metrics_);
  schedule_.learn(outcome.records, metrics_);
  metrics_.update_bytes = std::ssize(outcome.records) * host_->update_bytes();
  if (record_ && job_.federation.on_client_failure == FailurePolicy::drop)
    for (const ClientFailure& failure : outcome.failures)
      log(LogLevel::warning,
          fmt::format("round {}: client {} is dropped: {}", round_, failure.client, failure.message));
  enforce_policy(outcome, job_.federation, round_);

  const Stopwatch aggregate_stopwatch;
  aggregate(outcome.records);
  phase_ = aggregated;
  take_over_kept();
  metrics_.seconds.aggregate = aggregate_stopwatch.seconds();
}

void Protocol::take_over_kept() {
  for (const ClientKept& kept : kept_) state_->clients.set(kept.client, kept.state);
  kept_.clear();
}

// The living go on together where the server is.
void Protocol::rejoin() {
  for (;;) {
    communicator_.revoke();
    const bool all_in_rounds = communicator_.meet(in_rounds) == in_rounds;
    if (!all_in_rounds) throw StartOver{.ranks_are_shrunk = false};
    const int size_before = communicator_.size();
    if (!communicator_.shrink()) throw StartOver{.ranks_are_shrunk = true};
    ranks_were_lost_ = true;
    schedule_.forget();
    try {
      const at::Tensor where = at::tensor({round_, static_cast<int>(phase_), static_cast<int>(stop_reason_)}, at::kInt);
      communicator_.broadcast(where);
      communicator_.broadcast(state_->global);  // a rank may have half of the next one
      communicator_.broadcast(state_->server_vectors.view(-1));
      round_ = where[0].item<int>();
      phase_ = static_cast<Phase>(where[1].item<int>());
      stop_reason_ = static_cast<StopReason>(where[2].item<int>());
      // The server has come past the vote, so every rank has what it was to take over.
      if (phase_ != fitting) take_over_kept();
      if (record_)
        log(LogLevel::warning, fmt::format("round {}: {} of {} ranks lost, the others take over their clients", round_,
                                           size_before - communicator_.size(), size_before));
      return;
    } catch (const RankLost&) {
      continue;
    }
  }
}

// Those of the cohort that no living rank has or knows to be fitted in this round, without those known to fail.
std::vector<std::int64_t> Protocol::not_fitted(std::span<const std::int64_t> cohort) {
  std::vector<std::int64_t> rest(cohort.begin(), cohort.end()), fitted;
  if (record_) fitted = record_->left_out(round_);
  for (const FitRecord& record : host_->outcome().records) fitted.push_back(record.client);
  for (const ClientFailure& failure : host_->outcome().failures) fitted.push_back(failure.client);
  fitted = communicator_.all_gather(std::span<const std::int64_t>(fitted));
  std::ranges::sort(fitted);
  std::erase_if(rest, [&](std::int64_t client) { return std::ranges::binary_search(fitted, client); });
  return rest;
}

// The cohort, all ranks together. False on every rank when the round is given up.
bool Protocol::fit(std::span<const std::int64_t> cohort) {
  // What a host has fitted before ranks were lost is kept, but for what others have begun to be added to.
  if (host_->round() != round_ || sum_is_spent_) {
    sum_is_spent_ = false;
    host_->begin_round(round_, static_cast<int>(cohort.size()));
    partial_rounds_.begin_round(round_, state_->global);
  }
  const int first_host = communicator_.size() == 1 ? 0 : 1;
  // One rank has them all. Not once ranks were lost: the others may have fitted them again.
  if (communicator_.rank() == first_host && !ranks_were_lost_ && !verifies_) partial_rounds_.restore(*host_, cohort);
  deal_out(not_fitted(cohort));
  std::int64_t num_done = std::ssize(cohort) - std::ssize(schedule_.clients());
  if (record_ && !ranks_were_lost_ && !verifies_ && num_done > 0)
    log(LogLevel::info, fmt::format("round {}: {} of {} clients were fitted before", round_, num_done, cohort.size()));
  Progress progress(fmt::format("round {}/{}: fit", round_, job_.run.rounds),
                    schedule_.total_cost() * host_->num_passes(), "tokens", communicator_.is_server());
  const auto advance = [&](std::int64_t amount) {  // tokens, or clients as a number below zero
    num_done -= std::min<std::int64_t>(amount, 0);
    progress.advance(std::max<std::int64_t>(amount, 0), fmt::format("{}/{} clients", num_done, cohort.size()));
  };
  if (communicator_.is_host(communicator_.rank())) fit_own(own_share(), advance);
  const bool given_up = communicator_.await_reports(advance, [&] {
    const bool stops = stops_now();
    // At once: a launcher that ends its ranks waits for nobody.
    if (stops && record_) record_->give_up(state_->save());
    keep(stops || stop_signal_noted());
    return stops;
  });
  if (given_up) keep(true);
  return !given_up;
}

void Protocol::deal_out(std::vector<std::int64_t> clients) {
  auto costs = training_costs(partition_, *experiment_.dataset, clients);
  schedule_.deal_out(std::move(clients), std::move(costs),
                     static_cast<std::size_t>(std::max(1, communicator_.size() - 1)));
}

// Which of the clients this host fits.
std::vector<std::int64_t> Protocol::own_share() const {
  return schedule_.share(static_cast<std::size_t>(std::max(0, communicator_.rank() - 1)));
}

void Protocol::fit_own(std::span<const std::int64_t> clients, const std::function<void(std::int64_t)>& advance) {
  const Stopwatch stopwatch;
  const double deadline = job_.federation.round_deadline_seconds;
  Stopwatch since_told;
  std::int64_t tokens = 0, clients_done = 0;
  const auto tell = [&] {
    since_told = {};
    for (const std::int64_t amount : {std::exchange(tokens, 0), -std::exchange(clients_done, 0)}) {
      if (amount == 0) continue;
      communicator_.report(amount);
      advance(amount);
    }
  };
  const auto after_step = [&](std::int64_t step_tokens) {
    // Host::fit takes it for the failure of the clients at hand.
    if (deadline > 0.0 && stopwatch.seconds() > deadline && !verifies_)
      throw Error(fmt::format("not done within the {} s of federation.round_deadline_seconds", deadline));
    tokens += step_tokens;
    if (since_told.seconds() < report_seconds) return;
    tell();
    if (stops_now()) communicator_.request_stop();
    if (communicator_.stop_requested()) throw FitGivenUp{};
  };
  try {
    // Once a rank is known to be lost the clients at hand are the last: the others are dealt out anew.
    // Where clients are fitted at once, so many that the threads seldom wait for the last of them.
    std::size_t group = host_->at_once();
    for (std::size_t i = 0; i < clients.size() && !communicator_.loss_noticed();) {
      const Stopwatch of_group;
      const std::size_t count = std::min(group, clients.size() - i);
      host_->fit(clients.subspan(i, count), state_->global, state_->server_vectors, after_step);
      i += count;
      clients_done += static_cast<std::int64_t>(count);
      keep(stop_signal_noted());  // what ends a job waits for nobody
      if (group > 1 && of_group.seconds() < short_group_seconds) group *= 2;
    }
    tell();
  } catch (const FitGivenUp&) {
    keep(true);
  }
}

void Protocol::clear_partial_rounds(int last) {
  if (!verifies_) partial_rounds_.clear(last);
}

// What this host has of the round, when it is time or `now`.
void Protocol::keep(bool now) {
  if (!verifies_) partial_rounds_.save(*host_, now);
}

// Whether this rank wants the round to be given up.
bool Protocol::stops_now() const {
  return (stop_signal_noted() && on_signal_ == OnSignal::abandon) || time_limit_.is_over();
}

// All ranks together, once they have finished a round that is not the last.
void Protocol::stop_if_agreed() {
  if (stop_reason_ != none && round_ < last_round_) stop(round_, stop_reason_);
}

// All ranks together, after the round `last_finished`.
void Protocol::stop(int last_finished, StopReason reason) {
  agree(communicator_, [&] {
    if (record_) record_->give_up(state_->save());
  });
  stopped_ = true;
  if (!record_) return;
  log(LogLevel::warning,
      fmt::format("{} after round {} of {}{}", reason == out_of_time ? "out of time" : "stopped by a signal",
                  last_finished, last_round_, verifies_ ? "" : ": go on with --resume"));
}

void Protocol::aggregate(std::span<const FitRecord> records) {
  double total_weight = 0.0;
  for (const FitRecord& record : records) total_weight += record.weight;
  if (total_weight == 0.0) {
    if (communicator_.is_server())
      log(LogLevel::warning, fmt::format("round {}: no client counts, the parameters stay as they are", round_));
    return;
  }
  const FitRound round{.round = round_, .num_clients = job_.federation.clients, .records = records};
  at::Tensor next;  // of a strategy on slices
  if (exchange_.aggregation == Aggregation::slices)
    next = aggregate_slices(communicator_, *experiment_.strategy, round, host_->outcome().records, host_->spool(),
                            state_->parameters.cpu(), state_->server_vectors.cpu());
  sum_is_spent_ = communicator_.is_server();
  communicator_.reduce_sum(host_->sum().sum());
  agree(communicator_, [&] {
    if (!communicator_.is_server()) return;
    state_->advance(round, host_->sum().mean(total_weight), next);
    phase_ = aggregated;  // before the vote: it must not be done again
  });
}

void Protocol::evaluate() {
  if (verifies_) return;  // it changes no digest
  const Stopwatch stopwatch;
  const auto cohort = cohorts_->evaluate(metrics_.round);
  const auto blocks = evaluation_blocks(job_, *experiment_.dataset, partition_, cohort);
  if (blocks.empty()) return;

  std::vector<std::int64_t> block_costs;
  for (const EvaluationBlock& block : blocks) block_costs.push_back(block.cost);
  const auto schedule = longest_first(block_costs, static_cast<std::size_t>(communicator_.size()));
  EvaluationResults results;
  agree(communicator_, [&] {
    results = host_->evaluate(blocks, schedule[static_cast<std::size_t>(communicator_.rank())], state_->global);
  });
  results.blocks = communicator_.all_gather(std::span<const BlockResult>(results.blocks));
  communicator_.reduce_sum(results.counts.all);
  if (communicator_.is_server()) record(combine(blocks, std::move(results)), metrics_);
  metrics_.seconds.evaluate = stopwatch.seconds();
}

void Protocol::finish_round(const Stopwatch& stopwatch) {
  struct State {
    std::int64_t bytes_sent, peak_rss_bytes;
    std::int64_t reason_to_stop;
  };
  const int round = metrics_.round;
  if (round > 0) longest_round_ = std::max(longest_round_, stopwatch.seconds());
  StopReason reason = stop_signal_noted() ? by_signal : !time_limit_.leaves(longest_round_) ? out_of_time : none;
  const State state{communicator_.bytes_sent() - bytes_before_, peak_rss_bytes() - communicator_.mapped_bytes(),
                    reason};
  bytes_before_ = communicator_.bytes_sent();
  for (const State& one : communicator_.all_gather(std::span<const State>(&state, 1))) {
    metrics_.bytes_sent += one.bytes_sent;
    metrics_.peak_rss_bytes = std::max(metrics_.peak_rss_bytes, one.peak_rss_bytes);
    if (reason == none) reason = static_cast<StopReason>(one.reason_to_stop);
  }
  stop_reason_ = reason;
  const bool ends = reason != none || round == last_round_;
  agree(communicator_, [&] {
    if (record_) record_->finish_round(metrics_, state_->save(), stopwatch, ends);
    phase_ = recorded;
  });
  // The checkpoint of this round may not be on disk yet, that of the one before is.
  clear_partial_rounds(round - 1);
}

}  // namespace fedmpi
