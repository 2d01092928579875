#include "check_report.hpp"

#include "client.hpp"
#include "evaluation.hpp"
#include "fedmpi/quantity_text.hpp"
#include "schedule.hpp"
#include "slices.hpp"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <system_error>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr int most_rounds = 8;  // that are looked at

// Some of the rounds first..last, evenly spread, the first and the last among them.
std::vector<int> some_rounds(int first, int last) {
  std::vector<int> rounds;
  first = std::max(first, 1);
  const int count = std::min(most_rounds, last - first + 1);
  for (int i = 0; i < count; ++i)
    rounds.push_back(first + static_cast<int>(std::int64_t{last - first} * i / std::max(count - 1, 1)));
  return rounds;
}

// How many of first..last are multiples of `every`, or the last.
int num_due(int first, int last, int every) {
  if (first > last) return 0;
  if (every == 0) return 1;
  const int multiples = last / every - (first - 1) / every;
  return multiples + (last % every == 0 ? 0 : 1);
}

Spread spread_of(std::vector<std::int64_t> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  return {.least = values.front(),
          .median = values[values.size() / 2],
          .most = values.back(),
          .sum = std::accumulate(values.begin(), values.end(), std::int64_t{0})};
}

std::vector<std::int64_t> sizes(const std::vector<std::vector<std::int64_t>>& parts) {
  std::vector<std::int64_t> sizes;
  for (const auto& part : parts) sizes.push_back(std::ssize(part));
  return sizes;
}

void describe_model(const Experiment& experiment, CheckReport& report) {
  const Layout& layout = experiment.model->layout();
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    const std::int64_t elements = layout.num_elements(i);
    const TensorRole role = layout.spec(i).role;
    report.parameters += elements;
    if (layout.has_gradient(i)) report.trained += elements;
    if (role == TensorRole::shared || role == TensorRole::statistic) report.travelling += elements;
  }
  report.by_slices = experiment.strategy->exchange().aggregation == Aggregation::slices;
}

void describe_examples(const Experiment& experiment, const Partition& partition, CheckReport& report) {
  const Dataset& dataset = *experiment.dataset;
  report.train_size = dataset.size(Split::train);
  report.test_size = dataset.size(Split::test);
  report.num_labels = dataset.num_labels();
  const auto lengths = dataset.lengths(Split::train);
  std::int64_t used = 0, longest = 0;
  for (const auto& part : partition.train) {
    for (const std::int64_t example : part) {
      const std::int64_t length = lengths[static_cast<std::size_t>(example)];
      ++used;
      longest = length > report.longest_example ? 1 : longest + (length == report.longest_example ? 1 : 0);
      report.longest_example = std::max(report.longest_example, length);
    }
  }
  report.share_of_longest = used > 0 ? static_cast<double>(longest) / static_cast<double>(used) : 0.0;
  report.train = spread_of(sizes(partition.train));
  report.test = spread_of(sizes(partition.test));
  report.without_test =
      static_cast<int>(std::ranges::count_if(partition.test, [](const auto& own) { return own.empty(); }));
  report.central_examples = std::ssize(partition.central);
}

Line mean_line(std::span<const Trial> trials, Line Rates::*which, bool of_fits) {
  Line mean;
  double count = 0.0;
  for (const Trial& trial : trials) {
    const Line& line = trial.rates.*which;
    if (of_fits ? trial.has_fitted == 0 : line.fixed + line.per_unit == 0.0) continue;
    mean.fixed += line.fixed;
    mean.per_unit += line.per_unit;
    ++count;
  }
  if (count > 0.0) mean = {.fixed = mean.fixed / count, .per_unit = mean.per_unit / count};
  return mean;
}

Rates mean_rates(std::span<const Trial> trials) {
  Rates mean{.step = mean_line(trials, &Rates::step, true),
             .client = mean_line(trials, &Rates::client, true),
             .block = mean_line(trials, &Rates::block, false),
             .num_chosen = trials[0].rates.num_chosen};
  for (double Rates::*seconds :
       {&Rates::slice_seconds, &Rates::load_seconds, &Rates::plan_fit_seconds, &Rates::plan_evaluate_seconds})
    for (const Trial& trial : trials) mean.*seconds += trial.rates.*seconds / static_cast<double>(trials.size());
  mean.at_once = std::ranges::max(trials, {}, [](const Trial& trial) { return trial.rates.at_once; }).rates.at_once;
  for (double Rates::*speedup : {&Rates::fit_speedup, &Rates::evaluate_speedup}) {
    double count = 0.0;
    for (const Trial& trial : trials) {
      mean.*speedup += trial.rates.*speedup;
      count += trial.rates.*speedup > 0.0 ? 1.0 : 0.0;
    }
    if (count > 0.0) mean.*speedup /= count;
  }
  return mean;
}

MemoryUse memory_of(std::span<const Trial> trials, const Cluster& there) {
  MemoryUse memory{.shared = trials[0].bytes_mapped};
  // Beside what it has in any case: the mean of the updates and the copy that a checkpoint is written from.
  const std::int64_t serving = trials[0].server.mean_bytes + trials[0].server.checkpoint_bytes;
  const bool alone = trials.size() == 1;
  for (const Trial& trial : trials.subspan(alone ? 0 : 1))
    memory.host = std::max(memory.host, alone && there.ranks() > 1 ? trial.bytes_fitted : trial.bytes);
  if (!alone && there.ranks() == 1) memory.host += serving;
  memory.server = alone ? trials[0].bytes_evaluated + serving : trials[0].bytes;
  if (there.ranks() == 1) memory.server = memory.host;
  return memory;
}

// Clients' updates that a node keeps until they are put together.
std::int64_t spooled_bytes(const JobWork& work, const Cluster& cluster) {
  std::int64_t most = 0;
  for (const RoundWork& round : work.rounds) {
    const auto schedule = longest_first(round.client_costs, static_cast<std::size_t>(cluster.hosts()));
    std::vector<std::int64_t> on_node(static_cast<std::size_t>(cluster.nodes()));
    for (std::size_t host = 0; host < schedule.size(); ++host) {
      const std::size_t rank = host + (cluster.ranks() == 1 ? 0 : 1);
      on_node[static_cast<std::size_t>(cluster.node_of_rank[rank])] += std::ssize(schedule[host]) * work.update_bytes;
    }
    most = std::max(most, std::ranges::max(on_node));
  }
  return most;
}

// Every client's newest files for each checkpoint there is, and those of the round at hand.
std::int64_t kept_bytes(const Experiment& experiment, const CheckReport& report) {
  const std::int64_t elements =
      kept_sizes(experiment.strategy->exchange(), experiment.model->layout(), experiment.job.federation.compression)
          .total();
  const std::int64_t fits = report.cohort.most * report.last_round;
  const std::int64_t files = std::min<std::int64_t>(
      fits, std::min<std::int64_t>(report.clients, fits) + report.cohort.most * report.checkpoints_kept);
  return elements * static_cast<std::int64_t>(sizeof(float)) * files;
}

std::vector<std::string> assumptions_of(const ReportParts& parts) {
  std::vector<std::string> said;
  const Cluster &here = parts.here, &there = parts.there;
  if (there.ranks() != here.ranks() || there.nodes() != here.nodes())
    said.push_back(fmt::format("nodes are like {}", parts.views[0].name));
  if (here.ranks() == 1 && there.ranks() > 1)
    said.emplace_back("parameters travel between the ranks of a node at a part of the speed of its memory");
  if (there.nodes() > std::max(1, here.nodes()))
    said.push_back(fmt::format("the network between nodes carries {} a second",
                               bytes_text(static_cast<std::int64_t>(network_bytes_per_second))));
  if (std::ranges::any_of(parts.trials, [](const Trial& trial) { return trial.is_cut_short != 0; }))
    said.emplace_back("all goes as fast as the few batches for which there was time, the machine being slow or busy");
  return said;
}

}  // namespace

Rates as_if_alone(Rates rates, const Cluster& cluster, int rank, std::int64_t cohort_size) {
  const int node = cluster.node_of_rank[static_cast<std::size_t>(rank)];
  int ranks = 0, hosts = 0;
  for (int other = 0; other < cluster.ranks(); ++other) {
    if (cluster.node_of_rank[static_cast<std::size_t>(other)] != node) continue;
    ++ranks;
    // Longest first gives hosts their first client in the order of their ranks.
    const int host = cluster.ranks() == 1 ? 0 : other - 1;
    if (host >= 0 && host < cohort_size) ++hosts;
  }
  const double cores = cluster.cores_of_node[static_cast<std::size_t>(node)];
  const auto faster = [&](Line& line, int sharing) {
    const double slowdown = std::max(1.0, sharing * cluster.threads / cores);
    line = {.fixed = line.fixed / slowdown, .per_unit = line.per_unit / slowdown};
  };
  faster(rates.step, hosts);
  faster(rates.client, hosts);
  faster(rates.block, ranks);
  const double all = std::max(1.0, ranks * cluster.threads / cores);
  rates.slice_seconds /= all;
  rates.load_seconds /= all;
  rates.plan_fit_seconds /= std::max(1.0, ranks / cores);
  rates.plan_evaluate_seconds /= std::max(1.0, ranks / cores);
  return rates;
}

Cluster planned_cluster(std::span<const NodeView> views, const CheckRequest& request, int threads, int cores_per_host) {
  if (request.ranks == 0 && request.nodes == 0) return cluster_of(views, threads != 0 ? threads : cores_per_host);
  const std::vector<CheckedNode> nodes = nodes_of(views);
  const int here = static_cast<int>(views.size()), ranks = request.ranks != 0 ? request.ranks : here;
  int on_a_node = here > 1 ? std::ranges::max(nodes, {}, &CheckedNode::ranks).ranks : ranks;
  const int wanted = request.nodes != 0 ? request.nodes : (ranks + on_a_node - 1) / on_a_node;
  if (wanted > ranks)
    throw AgreedError(fmt::format("{} ranks cannot be on {} nodes: ask for fewer with --nodes", ranks, wanted), true);
  on_a_node = (ranks + wanted - 1) / wanted;
  const int cores = std::max(nodes[0].cores, nodes[0].cores_offered);
  const int hosts = ranks == 1 ? 1 : std::max(1, wanted == 1 ? on_a_node - 1 : on_a_node);
  return deal_out(ranks, wanted, cores, threads != 0 ? threads : std::max(1, cores / hosts));
}

CheckReport report_of(const ReportParts& parts) {
  const Experiment& experiment = parts.experiment;
  CheckReport report = describe(experiment, parts.partition, parts.cohorts, parts.first_round, parts.last_round);
  JobWork work = work_of(experiment, parts.partition, parts.cohorts, parts.first_round, parts.last_round);
  const Rates rates = mean_rates(parts.trials);
  const Trial& server = parts.trials[0];
  MemoryUse memory = memory_of(parts.trials, parts.there);
  report.cluster = parts.there;
  report.ranks_here = parts.here.ranks();
  report.nodes = nodes_of(parts.views);
  report.temporary_node_bytes = spooled_bytes(work, parts.there);
  if (report.nodes[0].temporary_in_memory) memory.temporary = report.temporary_node_bytes;
  const auto predict = [&](const Cluster& cluster) {
    return forecast(work, rates, server.server.seconds, server.collectives, parts.here, cluster, memory,
                    parts.start_seconds);
  };
  report.forecast = predict(parts.there);

  // The fewest with which a round is nearly as fast.
  int fewest = 1, enough = parts.there.ranks();
  while (fewest < enough) {
    const int middle = (fewest + enough) / 2;
    Cluster fewer = parts.there;
    fewer.node_of_rank.resize(static_cast<std::size_t>(middle));
    fewer.cores_of_node.resize(static_cast<std::size_t>(fewer.node_of_rank.back() + 1));
    if (predict(fewer).round_seconds <= 1.05 * report.forecast.round_seconds)
      enough = middle;
    else
      fewest = middle + 1;
  }
  report.most_useful_ranks = enough;

  report.checkpoint_bytes = server.server.checkpoint_bytes;
  report.client_state_bytes = kept_bytes(experiment, report);
  std::error_code error;
  report.disk_free_bytes =
      static_cast<std::int64_t>(std::filesystem::space(nearest_directory(experiment.job.run.output), error).available);
  report.seconds_left = parts.seconds_left;
  report.assumptions = assumptions_of(parts);
  report.warnings = warnings_of(report, experiment.job);
  return report;
}

JobWork work_of(const Experiment& experiment, const Partition& partition, const Cohorts& cohorts, int first, int last) {
  const Job& job = experiment.job;
  const Layout& layout = experiment.model->layout();
  const Exchange exchange = experiment.strategy->exchange();
  const int begin = std::max(first, 1);
  JobWork work{.num_rounds = std::max(0, last - begin + 1),
               .num_evaluations = num_due(begin, last, job.evaluation.every),
               .num_saves = num_due(begin, last, job.checkpoint.every),
               .has_first_evaluation = first == 0};
  for (const int round : some_rounds(first, last)) {
    const auto cohort = cohorts.fit(round);
    RoundWork one{.client_costs = training_costs(partition, *experiment.dataset, cohort)};
    for (const std::int64_t client : cohort)
      one.client_steps.push_back(
          (std::ssize(partition.train[static_cast<std::size_t>(client)]) + job.training.batch_size - 1) /
          job.training.batch_size);
    for (const EvaluationBlock& block : evaluation_blocks(job, *experiment.dataset, partition, cohorts.evaluate(round)))
      one.block_costs.push_back(block.cost);
    work.rounds.push_back(std::move(one));
  }
  const std::int64_t size = layout.shared_parameters_size(), statistics = layout.shared_size() - size;
  const auto width = static_cast<std::int64_t>(sizeof(float));
  work.passes = std::ssize(experiment.strategy->epochs(job.training.local_epochs)) +
                (exchange.personal_model ? job.training.local_epochs : 0) + (exchange.global_gradient ? 1 : 0);
  work.loss_passes = exchange.initial_loss ? 1 : 0;
  work.vector_bytes = width * exchange.num_server_vectors * size;
  work.shared_bytes = width * layout.shared_size() + work.vector_bytes;
  const bool by_slices = exchange.aggregation == Aggregation::slices;
  const std::int64_t summed = by_slices ? 0 : (1 + exchange.num_extra_updates) * size;
  work.sum_bytes = static_cast<std::int64_t>(sizeof(std::int64_t)) * (summed + statistics);
  if (by_slices) {
    work.update_bytes = width * size;
    work.times_exchanged = exchange.products ? 2 : 1;
    work.collected_bytes = width * size * (1 + exchange.num_server_vectors);
    std::vector<std::vector<std::int64_t>> one_rank(1);
    if (!work.rounds.empty()) one_rank[0].resize(work.rounds[0].client_costs.size());
    work.num_slices = Slices(one_rank, size).num_turns();
  }
  if (kept_sizes(exchange, layout, job.federation.compression).total() > 0) work.kept_bytes = sizeof(ClientKept);
  const Dataset& dataset = *experiment.dataset;
  work.label_count_bytes = static_cast<std::int64_t>(sizeof(std::int64_t)) *
                           LabelCounts::size({dataset.task(), dataset.num_labels(), experiment.model->num_labels()});
  return work;
}

std::vector<FitRecord> likely_records(const Experiment& experiment, const Partition& partition,
                                      std::span<const std::int64_t> cohort, const FitRecord& one) {
  std::vector<FitRecord> records;
  for (const std::int64_t client : cohort) {
    FitRecord record = one;
    record.client = client;
    record.num_steps = std::max<std::int64_t>(one.num_steps, 1);
    record.num_examples = std::ssize(partition.train[static_cast<std::size_t>(client)]);
    record.weight = experiment.strategy->weight(record);
    records.push_back(record);
  }
  return records;
}

CheckReport describe(const Experiment& experiment, const Partition& partition, const Cohorts& cohorts, int first,
                     int last) {
  const Job& job = experiment.job;
  CheckReport report{.source = job.source,
                     .name = job.run.name,
                     .output = job.run.output.string(),
                     .first_round = first,
                     .last_round = last,
                     .plugins = {}};
  for (const Plugin& plugin : experiment.plugins)
    report.plugins.push_back({.kind = plugin.info->kind,
                              .name = plugin.info->name,
                              .version = plugin.info->version,
                              .path = plugin.path.string(),
                              .digest = plugin.digest});
  describe_model(experiment, report);
  describe_examples(experiment, partition, report);
  report.clients = job.federation.clients;
  std::vector<std::int64_t> cohort_sizes, everyone(static_cast<std::size_t>(report.clients));
  for (const int round : some_rounds(first, last)) cohort_sizes.push_back(std::ssize(cohorts.fit(round)));
  report.cohort = spread_of(cohort_sizes);
  std::iota(everyone.begin(), everyone.end(), std::int64_t{0});
  const auto costs = training_costs(partition, *experiment.dataset, everyone);
  report.longest_client_tokens = std::ranges::max(costs);
  report.checkpoints_kept =
      most_checkpoints(last, job.checkpoint.every, job.checkpoint.keep, job.checkpoint.keep_every);
  return report;
}

}  // namespace fedmpi
