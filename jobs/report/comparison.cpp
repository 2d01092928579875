#include "comparison.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

namespace fedmpi {

namespace {

using Keys = std::map<std::string, std::string>;
constexpr const char* seed_key = "run.seed";

const std::string* find(const Keys& keys, const std::string& name) {
  const auto found = keys.find(name);
  return found == keys.end() ? nullptr : &found->second;
}

bool same(const std::string* a, const std::string* b) {
  return a == nullptr || b == nullptr ? a == b : *a == *b;
}

// A key of a plugin or a rule that all have who chose that plugin or rule, with one value.
bool follows_from_name(const std::string& key, std::span<const Run> runs) {
  const std::string name_key = key.substr(0, key.rfind('.')) + ".name";
  if (key == name_key) return false;
  const std::string* value = nullptr;
  std::map<std::string, bool> present;
  for (const Run& run : runs) {
    const std::string *mine = find(run.keys, key), *name = find(run.keys, name_key);
    const std::string chosen = name == nullptr ? "" : *name;
    if (present.try_emplace(chosen, mine != nullptr).first->second != (mine != nullptr)) return false;
    if (mine == nullptr) continue;
    if (value != nullptr && *value != *mine) return false;
    value = mine;
  }
  return true;
}

std::vector<std::string> differing(std::span<const Run> runs) {
  std::set<std::string> names;
  for (const Run& run : runs)
    for (const auto& [name, value] : run.keys) names.insert(name);
  std::vector<std::string> result;
  for (const std::string& name : names) {
    const std::string* first = find(runs.front().keys, name);
    const bool differ = std::ranges::any_of(runs, [&](const Run& run) { return !same(first, find(run.keys, name)); });
    if (differ && name != seed_key && !follows_from_name(name, runs)) result.push_back(name);
  }
  return result;
}

// Strings without their quotes.
std::string plain(const std::string& value) {
  return value.size() >= 2 && value.front() == '"' && value.back() == '"' ? value.substr(1, value.size() - 2) : value;
}

std::string label_of(const Keys& keys) {
  std::string label;
  for (const auto& [name, value] : keys) label += fmt::format("{}{}={}", label.empty() ? "" : ", ", name, value);
  return label;
}

Keys without_seed(Keys keys) {
  keys.erase(seed_key);
  return keys;
}

void append(std::string& label, const std::string& part) {
  label += (label.empty() ? "" : ", ") + part;
}

// Labels that several have get what tells them apart.
void name_by_directory(Comparison& comparison, std::span<const Run> runs) {
  for (std::size_t i = 0; i < comparison.groups.size(); ++i) {
    const auto twin = [&](const Group& other) { return comparison.groups[i].differs == other.differs; };
    if (std::ranges::count_if(comparison.groups, twin) < 2) continue;
    comparison.groups[i].named_by_directory = true;
    append(comparison.groups[i].label, runs[comparison.groups[i].runs.front()].directory);
  }
}

}  // namespace

Comparison compare(std::span<const Run> runs) {
  Comparison comparison{.keys = differing(runs), .groups = {}, .labels = {}, .group_of = {}};
  const bool seeds_differ = std::ranges::any_of(runs, [&](const Run& run) { return run.seed != runs.front().seed; });
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Keys keys = without_seed(runs[i].keys);
    auto group = std::ranges::find_if(comparison.groups, [&](const Group& one) {
      const auto is_repeated = [&](std::size_t other) { return runs[other].seed == runs[i].seed; };
      return without_seed(runs[one.runs.front()].keys) == keys &&
             (!comparison.keys.empty() || std::ranges::none_of(one.runs, is_repeated));
    });
    if (group == comparison.groups.end()) {
      Group fresh;
      for (const std::string& name : comparison.keys)
        if (const std::string* value = find(keys, name)) fresh.differs[name] = plain(*value);
      fresh.label = label_of(fresh.differs);
      group = comparison.groups.insert(comparison.groups.end(), std::move(fresh));
    }
    group->runs.push_back(i);
    comparison.group_of.push_back(static_cast<std::size_t>(group - comparison.groups.begin()));
  }
  for (Group& group : comparison.groups) {
    std::set<std::uint64_t> seeds;
    for (const std::size_t i : group.runs) seeds.insert(runs[i].seed);
    group.num_seeds = seeds.size();
  }
  name_by_directory(comparison, runs);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::string label = comparison.groups[comparison.group_of[i]].label;
    if (seeds_differ) append(label, fmt::format("{}={}", seed_key, runs[i].seed));
    comparison.labels.push_back(label.empty() ? runs[i].directory : label);
  }
  if (comparison.groups.size() == 1 && comparison.groups[0].label.empty())
    comparison.groups[0].label = runs.size() == 1 ? runs[0].directory : fmt::format("{} seeds", runs.size());
  return comparison;
}

Statistic statistic_of(int round, std::span<const double> values) {
  Statistic statistic{.round = round};
  const auto count = static_cast<double>(values.size());
  for (const double value : values) statistic.mean += value / count;
  if (values.size() < 2) return statistic;
  double squares = 0.0;
  for (const double value : values) squares += (value - statistic.mean) * (value - statistic.mean);
  statistic.deviation = std::sqrt(squares / (count - 1));
  return statistic;
}

std::vector<Statistic> group_rounds(const Measure& measure, const Group& group, std::span<const Run> runs) {
  std::map<int, std::map<std::uint64_t, std::vector<double>>> values;  // round -> seed -> of its runs
  std::map<int, std::size_t> counts;
  for (const std::size_t i : group.runs)
    for (const RoundMetrics& metrics : runs[i].rounds) {
      const auto& value = metrics.*measure.value;
      if (!value) continue;
      values[metrics.round][runs[i].seed].push_back(*value);
      ++counts[metrics.round];
    }
  std::vector<Statistic> statistics;
  for (const auto& [round, of_seeds] : values) {
    if (counts[round] != group.runs.size()) continue;
    std::vector<double> means;
    for (const auto& [seed, of_runs] : of_seeds) means.push_back(statistic_of(round, of_runs).mean);
    statistics.push_back(statistic_of(round, means));
  }
  return statistics;
}

}  // namespace fedmpi
