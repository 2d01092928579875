#pragma once

#include "check_report.hpp"
#include "cohort.hpp"
#include "federated_state.hpp"
#include "fedmpi/checkpoint.hpp"
#include "fedmpi/communicator.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/federation.hpp"
#include "fedmpi/metrics.hpp"
#include "fit_schedule.hpp"
#include "host.hpp"
#include "outcome.hpp"
#include "partial_rounds.hpp"
#include "partition.hpp"
#include "rates.hpp"
#include "run_record.hpp"
#include "stopwatch.hpp"
#include "time_limit.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace fedmpi {

// Passed to Communicator::meet: where a rank is when others are lost.
enum Place : int { elsewhere = 0, in_rounds = 1, leaving = 2 };

// The server is lost, or some ranks were not within the rounds: the run goes on from its newest checkpoint.
struct StartOver {
  bool ranks_are_shrunk;
};

// A run on the ranks that are alive, from its newest state to its end. Every rank makes one and calls run(): between
// two collectives the ranks differ in what they do, never in which collective comes next.
class Protocol {
 public:
  Protocol(Communicator& communicator, Experiment& experiment, const RunRequest& request,
           TimeLimit::Clock::time_point start);
  ~Protocol();
  Protocol(const Protocol&) = delete;
  Protocol& operator=(const Protocol&) = delete;

  // `begun` becomes true once the run's directory is written. Throws AgreedError on all ranks together, RankLost before
  // the first round and StartOver when ranks are lost, and whatever else is one rank's own failure.
  RunEnd run(bool& begun);

  // Instead of run(): what it would refuse is refused, and the rest is predicted. The report is on the server. Throws
  // AgreedError on all ranks together, and RankLost.
  // `since_start`: of the program's work.
  std::optional<CheckReport> check(const CheckRequest& request, const Stopwatch& since_start);

 private:
  enum StopReason : std::int64_t { none = 0, by_signal = 1, out_of_time = 2 };
  // How far the server is in a round; what has been passed need not be done again.
  enum Phase : int { fitting, aggregated, recorded };

  void check_same_everywhere();
  void prepare();
  void begin();
  void choose_scratch();
  void broadcast_all();
  void broadcast_shared();
  void run_round();
  void aggregate_round(const Stopwatch& stopwatch);
  bool fit(std::span<const std::int64_t> cohort);
  void fit_own(std::span<const std::int64_t> clients, const std::function<void(std::int64_t)>& advance);
  std::vector<std::int64_t> not_fitted(std::span<const std::int64_t> cohort);
  void rejoin();
  void take_over_kept();
  void keep(bool now);
  void clear_partial_rounds(int last);
  bool stops_now() const;
  void aggregate(std::span<const FitRecord> records);
  void evaluate();
  void finish_round(const Stopwatch& stopwatch);
  void stop_if_agreed();
  void stop(int last_finished, StopReason reason);

  void deal_out(std::vector<std::int64_t> clients);
  std::vector<std::int64_t> own_share() const;
  Trial try_round(RateMeasurement& measurement, const Cluster& cluster);
  void try_fits(RateMeasurement& measurement, int round, std::span<const std::int64_t> own, Trial& trial);
  void try_collectives(RateMeasurement& measurement, Trial& trial);
  void try_server(RateMeasurement& measurement, int round, std::span<const std::int64_t> cohort, Trial& trial);

  Communicator& communicator_;
  Experiment& experiment_;
  const Job& job_;
  const bool verifies_;
  bool owns_scratch_ = false;  // scratch_ is this rank's, to be removed
  const OnSignal on_signal_;
  const Exchange exchange_;
  const TimeLimit time_limit_;
  int round_ = 0;
  Phase phase_ = fitting;          // of round_, on the server
  RoundMetrics metrics_;           // of round_
  StopReason stop_reason_ = none;  // that was agreed on at the end of the newest round
  bool stopped_ = false;           // the same on every rank, as what follows
  bool ranks_were_lost_ = false;
  double longest_round_ = 0.0;         // in seconds, of those of this process
  std::unique_ptr<RunRecord> record_;  // on the server
  std::optional<Checkpoint> resumed_;  // on the server, until the run goes on from it
  Partition partition_;
  std::optional<Cohorts> cohorts_;  // once there is the partition
  int first_round_ = 0;             // 0: the start of a fresh run
  int last_round_ = 0;
  std::filesystem::path checkpoints_;  // directory of those that the run goes on from
  std::filesystem::path scratch_;      // for what clients keep from its own rounds
  std::unique_ptr<FederatedState> state_;
  bool sum_is_spent_ = false;     // whether others' sums are or may be in this rank's
  std::vector<ClientKept> kept_;  // what the clients of the newest round keep, before that is their state
  std::unique_ptr<Host> host_;
  PartialRounds partial_rounds_;
  FitSchedule schedule_;  // of those of the cohort who are fitted by these ranks and from now on
  std::int64_t bytes_before_ = 0;
};

}  // namespace fedmpi
