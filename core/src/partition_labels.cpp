// Rules that go by labels.
#include "dirichlet.hpp"
#include "partition_rules.hpp"
#include "rule_choice.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr int max_retries = 10;

// Rules that go by labels need some.
Parts train_by_label(const Job& job, const Dataset& dataset) {
  const RuleChoice& rule = job.data.partition;
  if (dataset.num_labels() < 2)
    refuse(rule, "name",
           fmt::format("the partition \"{}\" goes by labels, and the dataset has only one: choose another", rule.name));
  return by_label(shuffled_split(job, dataset, Split::train), dataset, Split::train);
}

// Cuts `examples` where the shares end, rounded down; the last client with a share gets what remains.
void deal_out(const std::vector<std::int64_t>& examples, const std::vector<double>& shares, Parts& parts) {
  std::size_t last = 0;
  for (std::size_t client = 0; client < shares.size(); ++client)
    if (shares[client] > 0.0) last = client;
  double sum = 0.0;
  std::int64_t begin = 0;
  for (std::size_t client = 0; client <= last; ++client) {
    sum += shares[client];
    const auto rounded = static_cast<std::int64_t>(sum * static_cast<double>(examples.size()));
    const std::int64_t end = client == last ? std::ssize(examples) : std::min(rounded, std::ssize(examples));
    parts[client].insert(parts[client].end(), examples.begin() + begin, examples.begin() + end);
    begin = end;
  }
}

// What remains of the labels' examples, from which clients draw by their own distribution over labels.
class Remaining {
 public:
  explicit Remaining(Parts examples) : examples_{std::move(examples)} {}

  // Of a client for whom the logarithms of the labels' shares are `logs`, up to a constant.
  std::int64_t draw(RandomStream& stream, std::size_t client, std::span<const double> logs) {
    Weights& weights = weights_of(client, logs);
    double left = stream.uniform();
    std::size_t label = weights.last;
    for (std::size_t i = 0; i < weights.shares.size(); ++i) {
      left -= weights.shares[i];
      if (left >= 0.0) continue;
      label = i;
      break;
    }
    std::vector<std::int64_t>& examples = examples_[label];
    const std::int64_t example = examples.back();
    examples.pop_back();
    if (examples.empty()) ++num_exhausted_;
    return example;
  }

 private:
  struct Weights {
    std::vector<double> shares;  // of the labels that had examples left when this was made; 0 for the others
    std::size_t last = 0;        // label of those, for what rounding leaves over
    int num_exhausted = -1;
  };

  Weights& weights_of(std::size_t client, std::span<const double> logs) {
    if (client >= weights_.size()) weights_.resize(client + 1);
    Weights& weights = weights_[client];
    if (weights.num_exhausted == num_exhausted_) return weights;
    std::vector<double> rest(logs.begin(), logs.end());
    for (std::size_t label = 0; label < rest.size(); ++label) {
      if (examples_[label].empty())
        rest[label] = -std::numeric_limits<double>::infinity();
      else
        weights.last = label;
    }
    weights.shares = shares(rest);
    weights.num_exhausted = num_exhausted_;
    return weights;
  }

  Parts examples_;
  std::vector<Weights> weights_;  // [client]
  int num_exhausted_ = 0;
};

// Which of so many classes each client has, [client].
std::vector<std::vector<std::size_t>> assigned_classes(const Job& job, std::size_t num_classes) {
  const Options& options = job.data.partition.options;
  const auto wanted = static_cast<std::size_t>(options.get<std::int64_t>("num_classes_per_partition"));
  const std::string& mode = options.get<std::string>("class_assignment_mode");
  const RandomKey key = partition_key(job, PartitionStream::rule);
  std::vector<std::vector<std::size_t>> assigned;
  for (std::size_t client = 0; client < static_cast<std::size_t>(job.federation.clients); ++client) {
    std::vector<std::int64_t> classes(num_classes);
    std::iota(classes.begin(), classes.end(), std::int64_t{0});
    std::rotate(classes.begin(), classes.begin() + static_cast<std::ptrdiff_t>(client % num_classes), classes.end());
    const std::size_t fixed = mode == "deterministic" ? num_classes : mode == "random" ? 0 : 1;
    RandomStream{derive(key, client)}.shuffle(std::span(classes).subspan(fixed));
    assigned.emplace_back(classes.begin(), classes.begin() + static_cast<std::ptrdiff_t>(wanted));
  }
  return assigned;
}

}  // namespace

Parts dirichlet_parts(const Job& job, const Dataset& dataset) {
  const RuleChoice& rule = job.data.partition;
  const auto alpha = one_for_each<double>(rule, "alpha", job.federation.clients, "clients");
  const auto minimum = rule.options.get<std::int64_t>("min_partition_size");
  const bool balances = rule.options.get<bool>("self_balancing");
  const auto mean = static_cast<double>(dataset.size(Split::train)) / job.federation.clients;
  const Parts examples = train_by_label(job, dataset);
  Parts parts;
  const auto smaller = [](const auto& a, const auto& b) { return a.size() < b.size(); };
  for (std::uint64_t attempt = 0; attempt <= max_retries; ++attempt) {
    const RandomKey key = derive(partition_key(job, PartitionStream::rule), attempt);
    parts.assign(alpha.size(), {});
    for (std::size_t label = 0; label < examples.size(); ++label) {
      RandomStream stream{derive(key, label)};
      std::vector<double> logs = log_dirichlet_draw(stream, alpha);
      for (std::size_t client = 0; balances && client < parts.size(); ++client)
        if (static_cast<double>(parts[client].size()) > mean) logs[client] = -std::numeric_limits<double>::infinity();
      if (!examples[label].empty()) deal_out(examples[label], shares(logs), parts);
    }
    if (std::ssize(*std::min_element(parts.begin(), parts.end(), smaller)) >= minimum) {
      mix(parts, partition_key(job, PartitionStream::train_mix));
      return parts;
    }
  }
  const auto smallest = std::min_element(parts.begin(), parts.end(), smaller);
  refuse(rule, "min_partition_size",
         fmt::format("none of {} draws gave each of the {} clients 'min_partition_size' = {} train examples (in the "
                     "last one client {} has {}): raise 'alpha' in [{}], or lower that key or federation.clients",
                     max_retries + 1, parts.size(), minimum, smallest - parts.begin(), smallest->size(), rule.table));
}

Parts inner_dirichlet_parts(const Job& job, const Dataset& dataset) {
  const RuleChoice& rule = job.data.partition;
  const auto sizes = given_sizes(job, dataset);
  const auto alpha = one_for_each<double>(rule, "alpha", dataset.num_labels(), "labels");
  Remaining remaining(train_by_label(job, dataset));
  const RandomKey key = partition_key(job, PartitionStream::rule);
  std::vector<std::vector<double>> logs;  // [client][label]
  std::vector<std::size_t> not_full;
  for (std::size_t client = 0; client < sizes.size(); ++client) {
    RandomStream stream{derive(derive(key, 0), client)};
    logs.push_back(log_dirichlet_draw(stream, alpha));
    not_full.push_back(client);
  }
  Parts parts(sizes.size());
  RandomStream stream{derive(key, 1)};
  while (!not_full.empty()) {
    const std::size_t chosen = stream.below(not_full.size()), client = not_full[chosen];
    parts[client].push_back(remaining.draw(stream, client, logs[client]));
    if (std::ssize(parts[client]) < sizes[client]) continue;
    not_full[chosen] = not_full.back();
    not_full.pop_back();
  }
  mix(parts, partition_key(job, PartitionStream::train_mix));
  return parts;
}

Parts pathological_parts(const Job& job, const Dataset& dataset) {
  const RuleChoice& rule = job.data.partition;
  const Parts examples = train_by_label(job, dataset);
  std::vector<std::size_t> labels;  // that there are
  for (std::size_t label = 0; label < examples.size(); ++label)
    if (!examples[label].empty()) labels.push_back(label);
  const auto wanted = rule.options.get<std::int64_t>("num_classes_per_partition");
  if (wanted > std::ssize(labels))
    refuse(rule, "num_classes_per_partition",
           fmt::format("'num_classes_per_partition' in [{}] is {}, but the train split has examples of {} labels",
                       rule.table, wanted, labels.size()));
  const auto assigned = assigned_classes(job, labels.size());
  std::vector<std::int64_t> sharing(labels.size()), dealt(labels.size());  // clients that have it, had their part
  for (const auto& classes : assigned)
    for (const std::size_t one : classes) ++sharing[one];
  for (std::size_t one = 0; one < labels.size(); ++one)
    if (sharing[one] > std::ssize(examples[labels[one]]))
      refuse(rule, "name",
             fmt::format("the label {} falls to {} clients, but only {} train examples have it: lower "
                         "'num_classes_per_partition' in [{}] or federation.clients, or choose "
                         "class_assignment_mode = \"deterministic\"",
                         labels[one], sharing[one], examples[labels[one]].size(), rule.table));
  Parts parts;
  for (const auto& classes : assigned) {
    std::vector<std::int64_t>& mine = parts.emplace_back();
    for (const std::size_t one : classes) {
      const std::vector<std::int64_t>& from = examples[labels[one]];
      const std::int64_t size = std::ssize(from) / sharing[one], larger = std::ssize(from) % sharing[one];
      const std::int64_t begin = dealt[one] * size + std::min(dealt[one], larger);
      ++dealt[one];
      const std::int64_t end = dealt[one] * size + std::min(dealt[one], larger);
      mine.insert(mine.end(), from.begin() + begin, from.begin() + end);
    }
  }
  mix(parts, partition_key(job, PartitionStream::train_mix));
  return parts;
}

Parts shard_parts(const Job& job, const Dataset& dataset) {
  const RuleChoice& rule = job.data.partition;
  const Options& options = rule.options;
  const std::int64_t clients = job.federation.clients, examples = dataset.size(Split::train);
  const bool keeps = options.get<bool>("keep_incomplete_shard"), by_number = options.has("num_shards_per_partition");
  const std::int64_t each = by_number ? options.get<std::int64_t>("num_shards_per_partition") : 0;
  std::int64_t size = options.has("shard_size") ? options.get<std::int64_t>("shard_size") : 0;
  if (!by_number && size == 0)
    refuse(
        rule, "name",
        fmt::format("[{}] needs 'num_shards_per_partition', 'shard_size' or both for the rule \"shards\"", rule.table));
  if (by_number && size != 0 && keeps)
    refuse(rule, "keep_incomplete_shard",
           fmt::format("'keep_incomplete_shard' in [{}] means nothing beside both 'num_shards_per_partition' and "
                       "'shard_size': leave it out",
                       rule.table));
  if (by_number && examples / (std::max<std::int64_t>(size, 1) * each) < clients)
    refuse(
        rule, size == 0 ? "num_shards_per_partition" : "shard_size",
        fmt::format("{} shards of {} examples for each of {} clients are more than the {} examples of the train split",
                    each, std::max<std::int64_t>(size, 1), clients, examples));
  if (size == 0) size = examples / (clients * each);
  const std::int64_t num_shards = examples / size + (keeps && examples % size != 0 ? 1 : 0);

  std::vector<std::int64_t> sorted;
  for (const auto& one : train_by_label(job, dataset)) sorted.insert(sorted.end(), one.begin(), one.end());
  std::vector<std::int64_t> shards(static_cast<std::size_t>(num_shards));
  std::iota(shards.begin(), shards.end(), std::int64_t{0});
  RandomStream{partition_key(job, PartitionStream::rule)}.shuffle(shards);
  Parts parts;
  auto next = shards.begin();
  for (std::int64_t client = 0; client < clients; ++client) {
    const std::int64_t count = by_number ? each : num_shards / clients + (client < num_shards % clients ? 1 : 0);
    std::vector<std::int64_t>& mine = parts.emplace_back();
    for (std::int64_t i = 0; i < count; ++i, ++next)
      mine.insert(mine.end(), sorted.begin() + *next * size, sorted.begin() + std::min((*next + 1) * size, examples));
  }
  mix(parts, partition_key(job, PartitionStream::train_mix));
  return parts;
}

}  // namespace fedmpi
