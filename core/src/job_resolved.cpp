#include "fedmpi/job.hpp"
#include "job_text.hpp"
#include "option_check.hpp"

#include <algorithm>
#include <type_traits>

#include <fmt/format.h>

namespace fedmpi {

namespace {

using Values = std::map<std::string, OptionValue>;

std::string toml_text(const OptionValue& value) {
  return std::visit(
      [](const auto& held) -> std::string {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, bool>) {
          return held ? "true" : "false";
        } else if constexpr (std::is_same_v<T, std::string>) {
          return toml_string(held);
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
          return fmt::format("{}", held);
        } else if constexpr (std::is_same_v<T, double>) {
          const std::string text = number_text(held);
          return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
        } else {
          std::string text;
          for (const auto& element : held) text += (text.empty() ? "" : ", ") + toml_text(OptionValue{element});
          return "[" + text + "]";
        }
      },
      value);
}

Values run_values(const Job& job) {
  std::vector<std::string> plugins;
  for (const auto& path : job.plugin_directories) plugins.push_back(path.string());
  return {{"name", job.run.name},
          {"output", job.run.output.string()},
          {"seed", static_cast<std::int64_t>(job.run.seed)},
          {"rounds", std::int64_t{job.run.rounds}},
          {"threads", std::int64_t{job.run.threads}},
          {"device", std::string{job.run.device == DeviceKind::cpu ? "cpu" : "cuda"}},
          {"max_seconds", job.run.max_seconds},
          {"plugins", plugins}};
}

Values federation_values(const FederationSettings& federation) {
  return {{"clients", std::int64_t{federation.clients}},
          {"fraction_fit", federation.fraction_fit},
          {"fraction_evaluate", federation.fraction_evaluate},
          {"min_fit_clients", std::int64_t{federation.min_fit_clients}},
          {"min_evaluate_clients", std::int64_t{federation.min_evaluate_clients}},
          {"on_client_failure", std::string{federation.on_client_failure == FailurePolicy::abort ? "abort" : "drop"}},
          {"round_deadline_seconds", federation.round_deadline_seconds},
          {"frozen_rank_seconds", federation.frozen_rank_seconds},
          {"transport", federation.transport},
          {"transport_join_seconds", federation.transport_join_seconds}};
}

std::string name_of(LearningRateSchedule schedule) {
  if (schedule == LearningRateSchedule::linear) return "linear";
  return schedule == LearningRateSchedule::cosine ? "cosine" : "constant";
}

Values training_values(const TrainingSettings& training) {
  return {{"local_epochs", std::int64_t{training.local_epochs}},
          {"batch_size", training.batch_size},
          {"optimizer", std::string{training.optimizer == OptimizerKind::adamw ? "adamw" : "sgd"}},
          {"learning_rate", training.learning_rate},
          {"momentum", training.momentum},
          {"beta1", training.beta1},
          {"beta2", training.beta2},
          {"epsilon", training.epsilon},
          {"weight_decay", training.weight_decay},
          {"learning_rate_schedule", name_of(training.schedule)},
          {"warmup_fraction", training.warmup_fraction},
          {"max_gradient_norm", training.max_gradient_norm},
          {"precision", std::string{training.precision == Precision::bf16 ? "bf16" : "float32"}}};
}

std::map<std::string, Values> core_values(const Job& job) {
  return {{"run", run_values(job)},
          {"federation", federation_values(job.federation)},
          {"strategy", {{"name", job.strategy.name}}},
          {"model", {{"name", job.model.name}}},
          {"data",
           {{"name", job.dataset.name},
            {"train_examples_per_client", job.data.train_examples_per_client},
            {"test_examples_per_client", job.data.test_examples_per_client}}},
          {"training", training_values(job.training)},
          {"evaluation",
           {{"federated", job.evaluation.federated},
            {"central", job.evaluation.central},
            {"central_examples", job.evaluation.central_examples},
            {"every", std::int64_t{job.evaluation.every}},
            {"batch_size", job.evaluation.batch_size}}},
          {"checkpoint",
           {{"every", std::int64_t{job.checkpoint.every}},
            {"keep", std::int64_t{job.checkpoint.keep}},
            {"keep_every", std::int64_t{job.checkpoint.keep_every}},
            {"within_round_seconds", job.checkpoint.within_round_seconds}}}};
}

std::string key_line(const std::string& key, const std::string& value) {
  return fmt::format("{} = {}\n", key, value);
}

// A section of its own, so that each of its keys has a line: what differs between two jobs can be named.
std::string rule_text(const RuleChoice& rule) {
  std::string text = fmt::format("\n[{}]\n", rule.table) + key_line("name", toml_string(rule.name));
  for (const auto& [key, value] : rule.options.values()) text += key_line(key, toml_text(value));
  return text;
}

}  // namespace

std::string resolved_toml(const Job& job, const Options& strategy, const Options& model, const Options& dataset) {
  const std::map<std::string, Values> values = core_values(job);
  const std::map<std::string, const Options*> plugins{{"strategy", &strategy}, {"model", &model}, {"data", &dataset}};
  const RuleChoice* const rules[] = {&job.federation.sampling, &job.federation.compression, &job.data.partition};
  std::string text;
  for (const JobSection& section : job_sections()) {
    text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", section.name);
    for (const OptionSpec& spec : section.keys) {
      const std::string key = spec.name;
      const std::string table = section.name + ("." + key);
      if (std::ranges::any_of(rules, [&](const RuleChoice* rule) { return rule->table == table; })) continue;
      text += key_line(key, toml_text(values.at(section.name).at(key)));
    }
    if (const auto plugin = plugins.find(section.name); plugin != plugins.end())
      for (const auto& [key, value] : plugin->second->values()) text += key_line(key, toml_text(value));
    for (const RuleChoice* rule : rules)
      if (rule->table.starts_with(section.name + std::string{"."})) text += rule_text(*rule);
  }
  return text;
}

}  // namespace fedmpi
