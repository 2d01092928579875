#include "job_checks.hpp"

#include "fedmpi/error.hpp"
#include "option_check.hpp"
#include "rule_choice.hpp"

#include <algorithm>
#include <set>
#include <string_view>

#include <fmt/format.h>

namespace fedmpi {

namespace {

[[noreturn]] void fail(const JobText& text, const std::string& section_name, const std::string& key,
                       const std::string& message) {
  const JobText::Section& section = text.sections.at(section_name);
  throw_config_error({.name = fmt::format("[{}]", section_name),
                      .prefix = section_name + ".",
                      .source = section.position,
                      .positions = section.positions},
                     key, fmt::format("'{}' in [{}] {}", key, section_name, message));
}

void check_run(const Job& job, const JobText& text) {
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  const std::string& name = job.run.name;
  // It becomes a directory's name.
  if (name.empty() || name.front() == '.' || name.find_first_not_of(allowed) != std::string::npos) {
    fail(text, "run", "name", "must be made of letters, digits, '-', '_' and '.', and not begin with '.'");
  }
}

void fit_to_clients(const JobText& text, const std::string& key, int clients, int& minimum) {
  if (minimum <= clients) return;
  if (text.sections.at("federation").values.contains(key)) {
    fail(text, "federation", key,
         fmt::format("is {}, more than the {} clients there are to choose from", minimum, clients));
  }
  minimum = clients;
}

// How many clients may take part in a round.
int num_eligible(const FederationSettings& federation, const JobText& text) {
  const RuleChoice& rule = federation.sampling;
  if (rule.name != "fixed") return federation.clients;
  const auto& clients = rule.options.get<std::vector<std::int64_t>>("clients");
  const auto reject = [&rule](const std::string& what) {
    refuse(rule, "clients", fmt::format("'clients' in [{}] {}", rule.table, what));
  };
  if (clients.empty()) reject("is empty, so that nobody would train");
  std::set<std::int64_t> seen;
  for (const std::int64_t client : clients) {
    if (client >= federation.clients)
      reject(fmt::format("has {}, but the clients are 0 to {}", client, federation.clients - 1));
    if (!seen.insert(client).second) reject(fmt::format("has {} twice", client));
  }
  const auto no_fraction = [&text](const char* key, double fraction) {
    if (fraction != 1.0 && fraction != 0.0)
      fail(text, "federation", key, "means nothing beside the sampling \"fixed\", which takes its list: leave it out");
  };
  no_fraction("fraction_fit", federation.fraction_fit);
  no_fraction("fraction_evaluate", federation.fraction_evaluate);
  return static_cast<int>(clients.size());
}

void check_training(const TrainingSettings& training, const JobText& text) {
  if (training.beta1 >= 1.0) fail(text, "training", "beta1", "must be less than 1");
  if (training.beta2 >= 1.0) fail(text, "training", "beta2", "must be less than 1");
  if (training.momentum >= 1.0) fail(text, "training", "momentum", "must be less than 1");
  // A setting that the chosen optimizer does not have would otherwise be ignored in silence.
  if (training.optimizer == OptimizerKind::adamw) {
    if (training.momentum != 0.0) fail(text, "training", "momentum", "is for sgd, and 'optimizer' is \"adamw\"");
    return;
  }
  const TrainingSettings defaults{.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
  const auto only_adamw = [&text](const char* key) {
    fail(text, "training", key, "is for adamw, and 'optimizer' is \"sgd\"");
  };
  if (training.beta1 != defaults.beta1) only_adamw("beta1");
  if (training.beta2 != defaults.beta2) only_adamw("beta2");
  if (training.epsilon != defaults.epsilon) only_adamw("epsilon");
}

}  // namespace

void check_across_keys(Job& job, const JobText& text) {
  check_run(job, text);
  FederationSettings& federation = job.federation;
  const int eligible = num_eligible(federation, text);
  fit_to_clients(text, "min_fit_clients", eligible, federation.min_fit_clients);
  fit_to_clients(text, "min_evaluate_clients", eligible, federation.min_evaluate_clients);
  if (federation.fraction_fit == 0.0) fail(text, "federation", "fraction_fit", "is 0, so that nobody would train");
  // In Flower 0 turns federated evaluation off whatever the minimum; here one key says so.
  if (federation.fraction_evaluate == 0.0 && job.evaluation.federated) {
    fail(text, "federation", "fraction_evaluate",
         "is 0; to evaluate on no client, set federated = false in [evaluation]");
  }
  if (federation.round_deadline_seconds > 0.0 && federation.on_client_failure == FailurePolicy::abort) {
    fail(text, "federation", "round_deadline_seconds", "needs on_client_failure = \"drop\" beside it");
  }
  check_training(job.training, text);
}

}  // namespace fedmpi
