#include "check_report.hpp"
#include "fedmpi/quantity_text.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr double hour = 3600.0;
constexpr double worth_a_word = 60.0;  // seconds of a whole run

struct Writer {
  const CheckReport& report;
  const Job& job;
  std::vector<std::string> sentences = {};

  const Forecast& forecast() const { return report.forecast; }
  template <class... Arguments>
  void say(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    sentences.push_back(fmt::format(format, std::forward<Arguments>(arguments)...));
  }

  void ranks();
  void cores();
  void memory();
  void disk();
  void temporary();
  void shared_output();
  void time();
  void lost_work();
  void slow();
};

// How many of the hosts have somebody to fit.
void Writer::ranks() {
  const int hosts = report.cluster.hosts();
  if (report.first_round > report.last_round) return;  // nobody is to be fitted
  if (hosts > report.cohort.most)
    say("{} of {} ranks that host clients have none, because a round has {}: start at most {}",
        hosts - report.cohort.most, hosts, report.cohort.most, report.cohort.most + 1);
}

void Writer::cores() {
  const Cluster& cluster = report.cluster;
  for (int node = 0; node < cluster.nodes(); ++node) {
    int hosts = 0;
    for (int rank = 0; rank < cluster.ranks(); ++rank)
      if (cluster.node_of_rank[static_cast<std::size_t>(rank)] == node && (rank != 0 || cluster.ranks() == 1)) ++hosts;
    const int cores = cluster.cores_of_node[static_cast<std::size_t>(node)];
    if (hosts * cluster.threads <= cores) continue;
    if (hosts <= cores)
      say("{} ranks with {} threads each share the {} cores of a node: set run.threads = {}", hosts, cluster.threads,
          cores, cores / hosts);
    else
      say("{} ranks that host clients share the {} core{} of a node: that takes the memory of all and the time of {}, "
          "start {} there",
          hosts, cores, cores == 1 ? "" : "s", cores, cores);
    break;
  }
  if (!report.is_of_here()) return;
  for (const CheckedNode& node : report.nodes) {
    if (node.cores_offered < 2 * node.cores || job.run.threads != 0) continue;
    say("the launcher binds the {} rank{} on {} to {} of its {} cores: give each more, with Open MPI by --bind-to none",
        node.ranks, node.ranks == 1 ? "" : "s", node.name, node.cores, node.cores_offered);
    break;
  }
}

void Writer::memory() {
  for (std::size_t i = 0; i < forecast().node_bytes.size(); ++i) {
    // Nodes that are not here are taken for the first.
    const CheckedNode& node = report.nodes[report.is_of_here() ? i : 0];
    const auto ranks = std::ranges::count(report.cluster.node_of_rank, static_cast<int>(i));
    if (forecast().node_bytes[i] <= node.memory_bytes) continue;
    say("{} rank{} on {} need about {} of memory, and there are {} ({}): start fewer on a node{}", ranks,
        ranks == 1 ? "" : "s", report.is_of_here() ? node.name : "a node like " + node.name,
        bytes_text(forecast().node_bytes[i]), bytes_text(node.memory_bytes), node.memory_limit,
        job.training.batch_size > 1 ? " or lower training.batch_size" : "");
    break;
  }
}

void Writer::disk() {
  const std::int64_t needed = report.checkpoint_bytes * report.checkpoints_kept + report.client_state_bytes;
  if (needed <= report.disk_free_bytes) return;
  say("{} will hold about {}, and its disk has {} free: lower checkpoint.keep, raise checkpoint.every, or choose "
      "another "
      "directory with --output",
      report.output, bytes_text(needed), bytes_text(report.disk_free_bytes));
}

void Writer::temporary() {
  for (const CheckedNode& node : report.nodes) {
    if (report.temporary_node_bytes <= node.temporary_bytes) continue;
    say("the updates of a round take up to {} of temporary files on a node, and {} has {} free for them: name a "
        "directory "
        "with room in TMPDIR",
        bytes_text(report.temporary_node_bytes), node.name, bytes_text(node.temporary_bytes));
    break;
  }
}

void Writer::shared_output() {
  if (report.client_state_bytes == 0 && job.checkpoint.within_round_seconds == 0.0) return;
  for (const CheckedNode& node : report.nodes) {
    if (node.sees_output) continue;
    say("{} is not the same directory on {} as on {}, but clients' states are kept there: choose one that all nodes "
        "share "
        "with --output",
        report.output, node.name, report.nodes[0].name);
    break;
  }
}

void Writer::time() {
  const double left = std::max(0.0, report.seconds_left);
  const double deadline = job.federation.round_deadline_seconds;
  if (deadline > 0.0 && forecast().fit_seconds > deadline)
    say("the fits of a round are predicted to take {}, and federation.round_deadline_seconds = {:g} gives up on "
        "clients "
        "that are not done: raise it",
        seconds_text(forecast().fit_seconds), deadline);
  if (forecast().total_seconds <= left) return;
  const double before = forecast().start_seconds + forecast().first_evaluation_seconds;
  const int rounds = static_cast<int>(std::floor(std::max(0.0, left - before) / (1.1 * forecast().round_seconds)));
  if (rounds < 1)
    say("not even one round of about {} ends within the {} that there are (run.max_seconds, or the end of the Slurm "
        "allocation): ask for more, or set checkpoint.within_round_seconds",
        seconds_text(forecast().round_seconds), seconds_text(left));
  else
    say("all rounds are predicted to take {}, and there are {} (run.max_seconds, or the end of the Slurm allocation): "
        "the "
        "run stops after about {} round{} and goes on with --resume",
        seconds_text(forecast().total_seconds), seconds_text(left), rounds, rounds == 1 ? "" : "s");
}

// What a job that is killed would have to do again.
void Writer::lost_work() {
  const int every = job.checkpoint.every == 0 ? job.run.rounds : job.checkpoint.every;
  if (std::min(every, job.run.rounds) > 1 && every * forecast().round_seconds > hour)
    say("checkpoints are {} rounds apart, about {}, which a run that is killed does again: lower checkpoint.every",
        every, seconds_text(every * forecast().round_seconds));
  const bool only_sums = !report.by_slices && report.client_state_bytes == 0;
  if (forecast().round_seconds > hour && only_sums && job.checkpoint.within_round_seconds == 0.0)
    say("a round takes about {}, which a run that is killed does again: set checkpoint.within_round_seconds",
        seconds_text(forecast().round_seconds));
}

void Writer::slow() {
  if (forecast().total_seconds < worth_a_word) return;
  if (forecast().evaluate_seconds > 2 * forecast().fit_seconds && job.evaluation.every == 1)
    say("evaluating takes {} of a round of {}: lower evaluation.central_examples or raise evaluation.every",
        seconds_text(forecast().evaluate_seconds), seconds_text(forecast().round_seconds));
  if (forecast().checkpoint_seconds > 0.2 * forecast().round_seconds)
    say("rounds wait {} for the checkpoint of the round before: raise checkpoint.every",
        seconds_text(forecast().checkpoint_seconds));
  if (report.most_useful_ranks < report.cluster.ranks() * 2 / 3)
    say("{} ranks are predicted to be as fast as {}: clients are whole, and the longest ones keep the others waiting",
        report.most_useful_ranks, report.cluster.ranks());
}

}  // namespace

std::vector<std::string> warnings_of(const CheckReport& report, const Job& job) {
  Writer writer{.report = report, .job = job};
  writer.ranks();
  writer.cores();
  writer.memory();
  writer.disk();
  writer.temporary();
  writer.shared_output();
  writer.time();
  writer.lost_work();
  writer.slow();
  return std::move(writer.sentences);
}

}  // namespace fedmpi
