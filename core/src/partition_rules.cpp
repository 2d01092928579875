#include "partition_rules.hpp"

#include "rule_choice.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include <fmt/format.h>

namespace fedmpi {

namespace {

// Proportional to `units`, rounded down; what remains goes to the last.
std::vector<std::int64_t> proportional_sizes(const std::vector<double>& units, std::int64_t size) {
  const double total = std::accumulate(units.begin(), units.end(), 0.0);
  std::vector<std::int64_t> sizes;
  std::int64_t rest = size;
  for (const double unit : units) {
    sizes.push_back(static_cast<std::int64_t>(unit / total * static_cast<double>(size)));
    rest -= sizes.back();
  }
  sizes.back() += rest;
  return sizes;
}

// "linear", "square" and "exponential". The last is e^(client + 1) divided by e^clients, which may be too large a
// number.
double unit_of(const std::string& rule, int client, int clients) {
  const double id = client + 1;
  if (rule == "linear") return id;
  return rule == "square" ? id * id : std::exp(id - clients);
}

}  // namespace

RandomKey partition_key(const Job& job, PartitionStream stream) {
  return derive(random_key(job.run.seed, Purpose::partition), static_cast<std::uint64_t>(stream));
}

std::vector<std::int64_t> shuffled_split(const Job& job, const Dataset& dataset, Split split) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(dataset.size(split)));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const auto stream = split == Split::train ? PartitionStream::train_order : PartitionStream::test_order;
  RandomStream{partition_key(job, stream)}.shuffle(order);
  return order;
}

void mix(Parts& parts, RandomKey key) {
  for (std::size_t client = 0; client < parts.size(); ++client)
    RandomStream{derive(key, client)}.shuffle(parts[client]);
}

Parts by_label(std::span<const std::int64_t> order, const Dataset& dataset, Split split) {
  const auto labels = dataset.labels(split);
  Parts examples(static_cast<std::size_t>(dataset.num_labels()));
  for (const std::int64_t example : order)
    examples[static_cast<std::size_t>(labels[static_cast<std::size_t>(example)])].push_back(example);
  return examples;
}

template <class T>
std::vector<T> one_for_each(const RuleChoice& rule, const std::string& key, std::int64_t count, const char* things) {
  const auto& given = rule.options.get<std::vector<T>>(key);
  if (given.size() == 1) return std::vector<T>(static_cast<std::size_t>(count), given.front());
  if (std::ssize(given) != count)
    refuse(rule, key,
           fmt::format("'{}' in [{}] has {} numbers, but there are {} {}: give one for each, or one for all", key,
                       rule.table, given.size(), count, things));
  return given;
}
template std::vector<double> one_for_each(const RuleChoice&, const std::string&, std::int64_t, const char*);
template std::vector<std::int64_t> one_for_each(const RuleChoice&, const std::string&, std::int64_t, const char*);

std::vector<std::int64_t> given_sizes(const Job& job, const Dataset& dataset) {
  const RuleChoice& rule = job.data.partition;
  const auto sizes = one_for_each<std::int64_t>(rule, "partition_sizes", job.federation.clients, "clients");
  const std::int64_t sum = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  if (sum > dataset.size(Split::train))
    refuse(rule, "partition_sizes",
           fmt::format("the 'partition_sizes' in [{}] add up to {}, but the train split has {} examples", rule.table,
                       sum, dataset.size(Split::train)));
  return sizes;
}

Parts sized_parts(const Job& job, const Dataset& dataset) {
  const std::string& rule = job.data.partition.name;
  std::vector<std::int64_t> sizes;
  if (rule == "sizes") {
    sizes = given_sizes(job, dataset);
  } else {
    std::vector<double> units;
    for (int client = 0; client < job.federation.clients; ++client)
      units.push_back(unit_of(rule, client, job.federation.clients));
    sizes = proportional_sizes(units, dataset.size(Split::train));
  }
  const auto order = shuffled_split(job, dataset, Split::train);
  Parts parts;
  auto begin = order.begin();
  for (const std::int64_t size : sizes) {
    parts.emplace_back(begin, begin + size);
    begin += size;
  }
  return parts;
}

Parts mirrored_parts(const Job& job, const Dataset& dataset, const Parts& train) {
  const auto examples = by_label(shuffled_split(job, dataset, Split::test), dataset, Split::test);
  const auto labels = dataset.labels(Split::train);
  const auto label_of = [&](std::int64_t example) {
    return static_cast<std::size_t>(labels[static_cast<std::size_t>(example)]);
  };
  std::vector<std::int64_t> total(examples.size());  // train examples of a label that some client has
  for (const auto& part : train)
    for (const std::int64_t example : part) ++total[label_of(example)];
  // Of each label the train examples that the clients so far have. In whole numbers: a double would round.
  std::vector<std::int64_t> before(examples.size());
  Parts parts;
  for (const auto& part : train) {
    std::map<std::size_t, std::int64_t> own;
    for (const std::int64_t example : part) ++own[label_of(example)];
    std::vector<std::int64_t>& mine = parts.emplace_back();
    for (const auto& [label, count] : own) {
      const std::int64_t size = std::ssize(examples[label]), begin = before[label] * size / total[label];
      before[label] += count;
      const std::int64_t end = before[label] * size / total[label];
      mine.insert(mine.end(), examples[label].begin() + begin, examples[label].begin() + end);
    }
  }
  mix(parts, partition_key(job, PartitionStream::test_mix));
  return parts;
}

}  // namespace fedmpi
