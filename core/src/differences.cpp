#include "differences.hpp"

#include "fedmpi/digest.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

namespace fedmpi {

namespace {

using Strings = std::map<std::string, std::string>;

// The dotted keys of a resolved job: resolved_toml writes one a line.
Strings keys_of(const std::string& resolved) {
  Strings keys;
  std::istringstream lines(resolved);
  std::string line, section;
  while (std::getline(lines, line)) {
    const auto equals = line.find(" = ");
    if (line.starts_with('['))
      section = line.substr(1, line.find(']') - 1);
    else if (equals != std::string::npos)
      keys[section + "." + line.substr(0, equals)] = line.substr(equals + 3);
  }
  return keys;
}

std::vector<std::string> differing(const Strings& mine, const Strings& theirs) {
  std::set<std::string> names;
  for (const auto& [name, value] : mine) names.insert(name);
  for (const auto& [name, value] : theirs) names.insert(name);
  std::erase_if(names, [&](const std::string& name) {
    const auto a = mine.find(name), b = theirs.find(name);
    return a != mine.end() && b != theirs.end() && a->second == b->second;
  });
  return {names.begin(), names.end()};
}

bool may_change(std::string_view key) {
  constexpr std::array<std::string_view, 8> free{"run.name",
                                                 "run.output",
                                                 "run.threads",
                                                 "run.plugins",
                                                 "run.max_seconds",
                                                 "federation.frozen_rank_seconds",
                                                 "federation.transport",
                                                 "federation.transport_join_seconds"};
  return std::find(free.begin(), free.end(), key) != free.end() || key.starts_with("checkpoint.");
}

// A learning rate that rises or falls over the whole run.
bool rounds_matter(const Strings& job) {
  const auto is = [&](const char* key, std::string_view value) {
    const auto found = job.find(key);
    return found == job.end() || found->second == value;
  };
  return !is("training.learning_rate_schedule", "\"constant\"") || !is("training.warmup_fraction", "0.0");
}

bool same_layout(const Layout& a, const Layout& b) {
  if (a.num_tensors() != b.num_tensors() || a.size() != b.size()) return false;
  // A checkpoint's indices follow its buffer, a model's do not.
  for (std::size_t i = 0; i < a.num_tensors(); ++i) {
    const std::size_t in_a = a.order()[i], in_b = b.order()[i];
    const TensorSpec &mine = a.spec(in_a), &theirs = b.spec(in_b);
    if (mine.name != theirs.name || mine.shape != theirs.shape || mine.role != theirs.role) return false;
  }
  return true;
}

}  // namespace

std::vector<std::string> differing_keys(const std::string& job, const std::string& other) {
  const Strings mine = keys_of(job);
  std::vector<std::string> names = differing(mine, keys_of(other));
  std::erase_if(names, [&](const std::string& name) {
    return may_change(name) || (name == "run.rounds" && !rounds_matter(mine));
  });
  return names;
}

std::map<std::string, std::string> result_keys(const std::string& job) {
  Strings keys = keys_of(job);
  const bool rounds = rounds_matter(keys);
  std::erase_if(keys, [&](const auto& key) { return may_change(key.first) || (key.first == "run.rounds" && !rounds); });
  return keys;
}

std::string fingerprint(const Experiment& experiment) {
  std::string all;
  const auto add = [&](const std::string& name, const std::string& value) {
    all += fmt::format("{}:{}={}:{};", name.size(), name, value.size(), value);
  };
  for (const auto& [name, value] : result_keys(experiment.resolved_job)) add(name, value);
  add("dataset", experiment.dataset->digest());
  add("model", experiment.model->digest());
  for (const auto& [name, version] : experiment.versions) add(name, version);
  return digest(all);
}

std::vector<std::string> differing_versions(const Strings& versions, const Strings& other) {
  return differing(versions, other);
}

Differences differences(const Experiment& experiment, const Checkpoint& checkpoint) {
  return {.keys = differing_keys(experiment.resolved_job, checkpoint.job),
          .dataset = experiment.dataset->digest() != checkpoint.dataset_digest,
          .layout = !same_layout(experiment.model->layout(), checkpoint.layout),
          .model = experiment.model->digest() != checkpoint.model_digest,
          .versions = differing_versions(experiment.versions, checkpoint.versions)};
}

}  // namespace fedmpi
