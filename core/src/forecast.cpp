#include "forecast.hpp"

#include "schedule.hpp"
#include "sent_bytes.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace fedmpi {

namespace {

// On one node and of each of its cores, beside a plain copy of memory: measured on 2 and on 8 ranks.
constexpr double collective_of_copy = 0.7;
constexpr double network_delay_seconds = 5e-5;
constexpr int votes_a_round = 9;

int doublings(int count) {
  return count <= 1 ? 0 : static_cast<int>(std::ceil(std::log2(count)));
}

// Seconds of a collective of so many bytes, from what is assumed of nodes and network.
double assumed(double bytes, const Cluster& cluster, double core_bytes_per_second) {
  if (cluster.ranks() == 1) return 0.0;
  double within = 0.0;
  for (int node = 0; node < cluster.nodes(); ++node) {
    const auto others = std::ranges::count(cluster.node_of_rank, node) - 1;
    if (others == 0) continue;
    const auto cores = std::min<std::ptrdiff_t>(cluster.cores_of_node[static_cast<std::size_t>(node)], others);
    within =
        std::max(within, static_cast<double>(others) * bytes / (core_bytes_per_second * static_cast<double>(cores)));
  }
  const double between = doublings(cluster.nodes()) * (bytes / network_bytes_per_second + network_delay_seconds);
  return within + between;
}

// The same, scaled by what was measured where there was anything to measure.
double collective(double bytes, double measured, double core_bytes_per_second, const Cluster& here,
                  const Cluster& there) {
  const double expected = assumed(bytes, there, core_bytes_per_second);
  if (here.ranks() == 1 || measured <= 0.0 || bytes <= 0.0) return expected;
  return measured * expected / assumed(bytes, here, core_bytes_per_second);
}

double votes(const CollectiveSeconds& collectives, const Cluster& here, const Cluster& there) {
  if (there.ranks() == 1) return 0.0;
  const double one = here.ranks() == 1 ? network_delay_seconds * doublings(there.ranks())
                                       : collectives.vote * doublings(there.ranks()) / doublings(here.ranks());
  return votes_a_round * one;
}

// The longest of the nodes' makespans. `loads`: of rank first_rank and those after it.
double slowest_node(std::span<const double> loads, const Cluster& cluster, int first_rank) {
  std::vector<std::vector<double>> on_node(static_cast<std::size_t>(cluster.nodes()));
  for (std::size_t i = 0; i < loads.size(); ++i)
    on_node[static_cast<std::size_t>(cluster.node_of_rank[i + static_cast<std::size_t>(first_rank)])].push_back(
        loads[i]);
  double longest = 0.0;
  for (std::size_t node = 0; node < on_node.size(); ++node)
    longest = std::max(longest, makespan(on_node[node], cluster.threads, cluster.cores_of_node[node]));
  return longest;
}

// What every rank does on one thread.
double everywhere(double seconds, const Cluster& cluster) {
  Cluster single = cluster;
  single.threads = 1;
  return slowest_node(std::vector<double>(static_cast<std::size_t>(cluster.ranks()), seconds), single, 0);
}

// Seconds of pieces of work that a rank does so many of at a time, each on the first thread that is free.
double on_one_rank(std::span<const double> pieces, double at_once, double speedup) {
  std::vector<double> threads(static_cast<std::size_t>(at_once), 0.0);
  for (const double piece : pieces) *std::ranges::min_element(threads) += piece;
  const double used = std::min(at_once, static_cast<double>(pieces.size()));
  return std::ranges::max(threads) * std::max(1.0, speedup > 0.0 ? used / speedup : used);
}

struct FitTime {
  double seconds = 0.0, busy = 0.0;
};

FitTime fit_time(const RoundWork& round, const JobWork& work, const Rates& rates, const Cluster& cluster) {
  const auto schedule = longest_first(round.client_costs, static_cast<std::size_t>(cluster.hosts()));
  std::vector<double> loads;
  for (const auto& clients : schedule) {
    std::vector<double> own;
    for (const std::size_t i : clients) {
      const auto cost = static_cast<double>(round.client_costs[i]), steps = static_cast<double>(round.client_steps[i]);
      const double pass = steps * rates.step.fixed + cost * rates.step.per_unit;
      const double loss = steps * rates.block.fixed + cost * rates.block.per_unit;
      own.push_back(rates.client.at(cost) + static_cast<double>(work.passes) * pass +
                    static_cast<double>(work.loss_passes) * loss);
    }
    loads.push_back(on_one_rank(own, rates.at_once, rates.fit_speedup));
  }
  FitTime time{.seconds = everywhere(rates.plan_fit_seconds, cluster) +
                          slowest_node(loads, cluster, cluster.ranks() == 1 ? 0 : 1)};
  // Not by seconds: hosts that share cores would all seem to be busy.
  double most = 0.0, sum = 0.0;
  for (const double load : loads) {
    most = std::max(most, load);
    sum += load;
  }
  time.busy = most > 0.0 ? sum / (most * static_cast<double>(loads.size())) : 0.0;
  return time;
}

double evaluation_time(std::span<const std::int64_t> costs, const Rates& rates, const Cluster& cluster) {
  if (costs.empty()) return 0.0;
  std::vector<double> loads;
  for (const auto& blocks : longest_first(costs, static_cast<std::size_t>(cluster.ranks()))) {
    std::vector<double> own;
    for (const std::size_t block : blocks) own.push_back(rates.block.at(static_cast<double>(costs[block])));
    loads.push_back(rates.load_seconds + on_one_rank(own, rates.at_once, rates.evaluate_speedup));
  }
  return everywhere(rates.plan_evaluate_seconds, cluster) + slowest_node(loads, cluster, 0);
}

void add_memory(const MemoryUse& memory, const Cluster& cluster, Forecast& forecast) {
  forecast.server_bytes = memory.server;
  forecast.host_bytes = memory.host;
  forecast.node_bytes.assign(static_cast<std::size_t>(cluster.nodes()), 0);
  for (int rank = 0; rank < cluster.ranks(); ++rank) {
    const bool is_host = rank != 0 || cluster.ranks() == 1;
    auto& bytes = forecast.node_bytes[static_cast<std::size_t>(cluster.node_of_rank[static_cast<std::size_t>(rank)])];
    if (bytes == 0) bytes = memory.shared + memory.temporary;
    bytes += (is_host ? memory.host : memory.server) - memory.shared;
  }
}

}  // namespace

Line fit_line(std::span<const Sample> samples) {
  if (samples.empty()) return {};
  const auto n = static_cast<double>(samples.size());
  double units = 0.0, seconds = 0.0;
  for (const Sample& one : samples) {
    units += one.units / n;
    seconds += one.seconds / n;
  }
  double variance = 0.0, covariance = 0.0;
  for (const Sample& one : samples) {
    variance += (one.units - units) * (one.units - units);
    covariance += (one.units - units) * (one.seconds - seconds);
  }
  // Samples that are nearly alike say nothing of a slope.
  if (variance <= 1e-4 * n * units * units) return {.fixed = 0.0, .per_unit = units > 0.0 ? seconds / units : 0.0};
  const double slope = std::max(covariance / variance, 0.0);
  if (slope * units > seconds) return {.fixed = 0.0, .per_unit = seconds / units};
  return {.fixed = seconds - slope * units, .per_unit = slope};
}

double makespan(std::span<const double> loads, int threads, int cores) {
  std::vector<double> left(loads.begin(), loads.end());
  std::ranges::sort(left);
  double seconds = 0.0, done = 0.0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    const double wanted = static_cast<double>(left.size() - i) * threads;
    const double speed = std::min(1.0, cores / wanted);  // of each that is left
    seconds += (left[i] - done) / speed;
    done = left[i];
  }
  return seconds;
}

Cluster deal_out(int ranks, int nodes, int cores, int threads) {
  const int on_a_node = (ranks + nodes - 1) / nodes;
  Cluster cluster{.node_of_rank = {}, .cores_of_node = {}, .threads = threads};
  for (int rank = 0; rank < ranks; ++rank) cluster.node_of_rank.push_back(rank / on_a_node);
  cluster.cores_of_node.assign(static_cast<std::size_t>(cluster.node_of_rank.back() + 1), cores);
  return cluster;
}

int most_checkpoints(int last_round, int every, int keep, int keep_every) {
  const std::int64_t saved = every == 0 ? 2 : 1 + last_round / every + (last_round % every == 0 ? 0 : 1);
  if (keep == 0) return static_cast<int>(saved);
  std::int64_t besides = 0;
  if (keep_every > 0) besides = 1 + last_round / std::lcm<std::int64_t>(std::max(every, 1), keep_every);
  return static_cast<int>(std::min<std::int64_t>(saved, keep + 1 + besides));
}

Forecast forecast(const JobWork& work, const Rates& rates, const ServerSeconds& server,
                  const CollectiveSeconds& collectives, const Cluster& here, const Cluster& there,
                  const MemoryUse& memory, double start_seconds) {
  Forecast result{.start_seconds = start_seconds};
  const double copy = collectives.copy_bytes_per_second;
  const double evaluations = work.num_rounds > 0 ? static_cast<double>(work.num_evaluations) / work.num_rounds : 0.0;
  double bytes = 0.0;
  for (const RoundWork& round : work.rounds) {
    const auto n = static_cast<double>(work.rounds.size());
    const FitTime fit = fit_time(round, work, rates, there);
    result.fit_seconds += fit.seconds / n;
    result.busy += fit.busy / n;
    result.evaluate_seconds += evaluation_time(round.block_costs, rates, there) / n;
    bytes += sent_bytes(round, work, rates.num_chosen, evaluations, there) / n;
  }
  result.bytes_sent = std::llround(bytes);
  if (!work.rounds.empty() && work.has_first_evaluation)
    result.first_evaluation_seconds =
        evaluation_time(work.rounds.front().block_costs, rates, there) + server.record + server.save;

  result.broadcast_seconds =
      collective(static_cast<double>(work.shared_bytes), collectives.broadcast, collective_of_copy * copy, here, there);
  result.aggregate_seconds = server.advance + collective(static_cast<double>(work.sum_bytes), collectives.reduce,
                                                         collective_of_copy * copy, here, there);
  if (work.num_slices > 0 && !work.rounds.empty()) {
    const int turns = static_cast<int>((work.num_slices + there.ranks() - 1) / there.ranks());
    const std::vector<double> loads(static_cast<std::size_t>(there.ranks()), turns * rates.slice_seconds);
    const double n = static_cast<double>(work.rounds.front().client_costs.size());
    const double travels =
        n * static_cast<double>(work.update_bytes * work.times_exchanged) + static_cast<double>(work.collected_bytes);
    result.aggregate_seconds +=
        slowest_node(loads, there, 0) + assumed(travels / std::max(there.ranks(), 1), there, collective_of_copy * copy);
  }
  const double small = votes(collectives, here, there);
  result.fit_seconds += small / 3;
  result.aggregate_seconds += small / 3;
  if (result.evaluate_seconds > 0.0) result.evaluate_seconds += small / 3;

  const double without =
      result.broadcast_seconds + result.fit_seconds + result.aggregate_seconds + evaluations * result.evaluate_seconds;
  // A checkpoint is written beside the rounds until the next one is due.
  const double saves = work.num_rounds > 0 ? static_cast<double>(work.num_saves) / work.num_rounds : 0.0;
  const double between_saves = saves > 0.0 ? without / saves : 0.0;
  result.checkpoint_seconds = saves * (server.record + std::max(0.0, server.save - between_saves));
  result.round_seconds = without + result.checkpoint_seconds;
  result.total_seconds = start_seconds + result.first_evaluation_seconds + work.num_rounds * result.round_seconds +
                         (work.num_rounds > 0 ? server.save : 0.0);
  add_memory(memory, there, result);
  return result;
}

}  // namespace fedmpi
