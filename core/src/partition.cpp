#include "partition.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/random.hpp"
#include "partition_rules.hpp"
#include "rule_choice.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

namespace fedmpi {

namespace {

Parts iid(const Job& job, const Dataset& dataset, Split split, std::int64_t per_client) {
  const char* name = split == Split::train ? "train" : "test";
  const std::int64_t size = dataset.size(split), clients = job.federation.clients;
  const std::int64_t wanted = std::max<std::int64_t>(per_client, 1);
  if (size / clients < wanted)
    throw ConfigError(fmt::format("{}: {} clients with {} {} example{} each need {}, but the dataset has {}: lower "
                                  "federation.clients or data.{}_examples_per_client{}",
                                  job.source, clients, wanted, name, wanted == 1 ? "" : "s", clients * wanted, size,
                                  name, split == Split::test ? ", or set evaluation.federated = false" : ""),
                      job.source, "federation.clients");
  const auto order = shuffled_split(job, dataset, split);
  Parts parts;
  auto begin = order.begin();
  for (std::int64_t client = 0; client < clients; ++client) {
    const std::int64_t whole = size / clients + (client < size % clients ? 1 : 0);
    parts.emplace_back(begin, begin + (per_client == 0 ? whole : per_client));
    begin += whole;
  }
  return parts;
}

// The first so many of each part, or all there are.
void cut(Parts& parts, std::int64_t per_client) {
  for (auto& part : parts)
    if (per_client != 0 && std::ssize(part) > per_client) part.resize(static_cast<std::size_t>(per_client));
}

// Both splits by a rule other than iid; no test split unless it `tests`.
void divide(const Job& job, const Dataset& dataset, bool tests, Partition& partition) {
  const std::string& rule = job.data.partition.name;
  const bool counts_clients = rule != "indices" && !rule.ends_with("natural_id");  // the others say how many there are
  if (counts_clients && job.federation.clients > dataset.size(Split::train))
    refuse(job.data.partition, "name",
           fmt::format("{} clients need a train example each, but the dataset has {}: lower federation.clients",
                       job.federation.clients, dataset.size(Split::train)));
  std::optional<Parts> test;
  if (rule == "indices") {
    IndexedParts parts = indexed_parts(job, dataset);
    partition.train = std::move(parts.train);
    test = std::move(parts.test);
  } else if (rule == "natural_id" || rule == "grouped_natural_id") {
    partition.train = natural_parts(job, dataset, Split::train);
    if (tests) test = natural_parts(job, dataset, Split::test);
  } else if (rule == "dirichlet") {
    partition.train = dirichlet_parts(job, dataset);
  } else if (rule == "inner_dirichlet") {
    partition.train = inner_dirichlet_parts(job, dataset);
  } else if (rule == "pathological") {
    partition.train = pathological_parts(job, dataset);
  } else if (rule == "shards") {
    partition.train = shard_parts(job, dataset);
  } else {
    partition.train = sized_parts(job, dataset);
  }
  if (tests) partition.test = test ? *std::move(test) : mirrored_parts(job, dataset, partition.train);
}

void check_nobody_is_left_out(const Job& job, const Partition& partition) {
  const auto is_empty = [](const auto& part) { return part.empty(); };
  const RuleChoice& rule = job.data.partition;
  const auto without = std::ranges::find_if(partition.train, is_empty);
  if (without != partition.train.end())
    refuse(rule, "name",
           fmt::format("the partition \"{}\" leaves client {} of {} without a train example: choose another, or lower "
                       "federation.clients",
                       rule.name, without - partition.train.begin(), partition.train.size()));
  if (!partition.test.empty() && std::ranges::all_of(partition.test, is_empty))
    refuse(rule, "name",
           fmt::format("the partition \"{}\" leaves all clients without a test example: choose another, or set "
                       "evaluation.federated = false",
                       rule.name));
}

std::vector<std::int64_t> central(const Job& job, const Dataset& dataset) {
  const std::int64_t size = dataset.size(Split::test), wanted = job.evaluation.central_examples;
  if (size < std::max<std::int64_t>(wanted, 1))
    throw ConfigError(fmt::format("{}: evaluation.central_examples asks for {} test examples, but the dataset has {}",
                                  job.source, std::max<std::int64_t>(wanted, 1), size),
                      job.source, "evaluation.central_examples");
  std::vector<std::int64_t> examples(static_cast<std::size_t>(size));
  std::iota(examples.begin(), examples.end(), std::int64_t{0});
  RandomStream{random_key(job.run.seed, Purpose::central)}.shuffle(examples);
  if (wanted != 0) examples.resize(static_cast<std::size_t>(wanted));
  return examples;
}

}  // namespace

Partition make_partition(const Job& job, const Dataset& dataset) {
  Partition partition;
  const bool tests = job.evaluation.federated && job.federation.fraction_evaluate > 0.0;
  if (job.data.partition.name == "iid") {
    partition.train = iid(job, dataset, Split::train, job.data.train_examples_per_client);
    if (tests) partition.test = iid(job, dataset, Split::test, job.data.test_examples_per_client);
  } else {
    divide(job, dataset, tests, partition);
    check_nobody_is_left_out(job, partition);
    cut(partition.train, job.data.train_examples_per_client);
    cut(partition.test, job.data.test_examples_per_client);
  }
  if (job.evaluation.central) partition.central = central(job, dataset);
  return partition;
}

std::vector<std::int64_t> training_costs(const Partition& partition, const Dataset& dataset,
                                         std::span<const std::int64_t> clients) {
  const auto lengths = dataset.lengths(Split::train);
  std::vector<std::int64_t> costs;
  for (const std::int64_t client : clients) {
    std::int64_t cost = 0;
    for (const std::int64_t example : partition.train[static_cast<std::size_t>(client)])
      cost += lengths[static_cast<std::size_t>(example)];
    costs.push_back(cost);
  }
  return costs;
}

void check_examples(const Model& model, const Dataset& dataset, const Partition& partition, int rank, int size) {
  constexpr std::size_t at_a_time = 256;
  const auto check = [&](Split split, std::span<const std::int64_t> examples) {
    for (std::size_t begin = static_cast<std::size_t>(rank) * at_a_time; begin < examples.size();
         begin += static_cast<std::size_t>(size) * at_a_time)
      model.check(dataset.batch(split, examples.subspan(begin, std::min(at_a_time, examples.size() - begin))));
  };
  const auto all = [](const std::vector<std::vector<std::int64_t>>& parts) {
    std::vector<std::int64_t> examples;
    for (const auto& part : parts) examples.insert(examples.end(), part.begin(), part.end());
    return examples;
  };
  check(Split::train, all(partition.train));
  check(Split::test, all(partition.test));
  check(Split::test, partition.central);
}

}  // namespace fedmpi
