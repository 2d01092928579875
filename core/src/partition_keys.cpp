// Rules that go by natural ids: Dataset::keys.
#include "fedmpi/error.hpp"
#include "partition_rules.hpp"
#include "rule_choice.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

namespace fedmpi {

namespace {

std::span<const std::int64_t> keys_of(const Job& job, const Dataset& dataset, Split split) {
  const auto keys = dataset.keys(split);
  if (keys.empty() && dataset.size(split) > 0)
    refuse(job.data.partition, "name",
           fmt::format("the partition \"{}\" needs a dataset that says whose each example is, and '{}' has no natural "
                       "ids in its {} split: choose another partition or prepare the data with its ids",
                       job.data.partition.name, job.dataset.name, split == Split::train ? "train" : "test"));
  if (std::ssize(keys) != dataset.size(split))
    throw Error(fmt::format("the dataset '{}' gives {} natural ids for {} examples: its plugin is wrong",
                            job.dataset.name, keys.size(), dataset.size(split)));
  return keys;
}

// The different ids of the train split, as they first come.
std::vector<std::int64_t> distinct(std::span<const std::int64_t> keys) {
  std::unordered_set<std::int64_t> seen;
  std::vector<std::int64_t> ids;
  for (const std::int64_t key : keys)
    if (seen.insert(key).second) ids.push_back(key);
  return ids;
}

// Sizes that differ by at most one, the larger ones first.
std::vector<std::int64_t> even_sizes(std::int64_t total, std::int64_t count) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t i = 0; i < count; ++i) sizes.push_back(total / count + (i < total % count ? 1 : 0));
  return sizes;
}

// How many ids each group has.
std::vector<std::int64_t> group_sizes(const RuleChoice& rule, std::int64_t num_ids) {
  const auto size = rule.options.get<std::int64_t>("group_size");
  const std::string& mode = rule.options.get<std::string>("mode");
  if (size > num_ids && mode != "allow-smaller")
    refuse(
        rule, "group_size",
        fmt::format("'group_size' in [{}] is {}, but the train split has {} natural ids", rule.table, size, num_ids));
  const std::int64_t rest = num_ids % size;
  if (mode == "strict" && rest != 0)
    refuse(rule, "mode",
           fmt::format("{} natural ids are not a multiple of 'group_size' = {} in [{}], as mode = \"strict\" wants: {} "
                       "are left over",
                       num_ids, size, rule.table, rest));
  if (mode == "allow-bigger") return even_sizes(num_ids, num_ids / size);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(num_ids / size), size);
  if (mode == "allow-smaller" && rest != 0) sizes.push_back(rest);
  return sizes;
}

// The client of each natural id that has one.
std::unordered_map<std::int64_t, std::size_t> client_of_ids(const Job& job, const Dataset& dataset) {
  const RuleChoice& rule = job.data.partition;
  std::vector<std::int64_t> ids = distinct(keys_of(job, dataset, Split::train));
  const bool groups = rule.name == "grouped_natural_id";
  if (!groups || rule.options.get<bool>("sort_unique_ids")) std::sort(ids.begin(), ids.end());
  const auto sizes =
      groups ? group_sizes(rule, std::ssize(ids)) : std::vector<std::int64_t>(ids.size(), std::int64_t{1});
  if (std::ssize(sizes) != job.federation.clients)
    refuse(rule, "name",
           fmt::format("the train split has {} natural ids, which make {} clients: set federation.clients = {}, not {}",
                       ids.size(), sizes.size(), sizes.size(), job.federation.clients));
  std::unordered_map<std::int64_t, std::size_t> clients;
  auto id = ids.begin();
  for (std::size_t client = 0; client < sizes.size(); ++client)
    for (std::int64_t i = 0; i < sizes[client]; ++i) clients.emplace(*id++, client);
  return clients;
}

}  // namespace

Parts natural_parts(const Job& job, const Dataset& dataset, Split split) {
  const auto clients = client_of_ids(job, dataset);
  const auto keys = keys_of(job, dataset, split);
  Parts parts(static_cast<std::size_t>(job.federation.clients));
  for (const std::int64_t example : shuffled_split(job, dataset, split)) {
    const auto client = clients.find(keys[static_cast<std::size_t>(example)]);
    if (client != clients.end()) parts[client->second].push_back(example);
  }
  return parts;
}

}  // namespace fedmpi
