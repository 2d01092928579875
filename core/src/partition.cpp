#include "partition.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/random.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

namespace fedmpi {

namespace {

std::vector<std::int64_t> shuffled(std::int64_t size, RandomKey key) {
  std::vector<std::int64_t> examples(static_cast<std::size_t>(size));
  std::iota(examples.begin(), examples.end(), std::int64_t{0});
  RandomStream{key}.shuffle(examples);
  return examples;
}

std::vector<std::vector<std::int64_t>> iid(const Job& job, const Dataset& dataset, Split split,
                                           std::int64_t per_client) {
  const char* name = split == Split::train ? "train" : "test";
  const std::int64_t size = dataset.size(split), clients = job.federation.clients;
  const std::int64_t wanted = std::max<std::int64_t>(per_client, 1);
  if (size / clients < wanted)
    throw ConfigError(fmt::format("{}: {} clients with {} {} example{} each need {}, but the dataset has {}: lower "
                                  "federation.clients or data.{}_examples_per_client{}",
                                  job.source, clients, wanted, name, wanted == 1 ? "" : "s", clients * wanted, size,
                                  name, split == Split::test ? ", or set evaluation.federated = false" : ""),
                      job.source, "federation.clients");
  const auto order =
      shuffled(size, derive(random_key(job.run.seed, Purpose::partition), split == Split::train ? 0 : 1));
  std::vector<std::vector<std::int64_t>> parts;
  auto begin = order.begin();
  for (std::int64_t client = 0; client < clients; ++client) {
    const std::int64_t whole = size / clients + (client < size % clients ? 1 : 0);
    parts.emplace_back(begin, begin + (per_client == 0 ? whole : per_client));
    begin += whole;
  }
  return parts;
}

std::vector<std::int64_t> central(const Job& job, const Dataset& dataset) {
  const std::int64_t size = dataset.size(Split::test), wanted = job.evaluation.central_examples;
  if (size < std::max<std::int64_t>(wanted, 1))
    throw ConfigError(fmt::format("{}: evaluation.central_examples asks for {} test examples, but the dataset has {}",
                                  job.source, std::max<std::int64_t>(wanted, 1), size),
                      job.source, "evaluation.central_examples");
  auto examples = shuffled(size, random_key(job.run.seed, Purpose::central));
  if (wanted != 0) examples.resize(static_cast<std::size_t>(wanted));
  return examples;
}

}  // namespace

Partition make_partition(const Job& job, const Dataset& dataset) {
  Partition partition;
  partition.train = iid(job, dataset, Split::train, job.data.train_examples_per_client);
  if (job.evaluation.federated && job.federation.fraction_evaluate > 0.0)
    partition.test = iid(job, dataset, Split::test, job.data.test_examples_per_client);
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
