#include "fedmpi/job.hpp"

#include "fedmpi/error.hpp"
#include "job_checks.hpp"
#include "job_text.hpp"
#include "option_check.hpp"
#include "rule_choice.hpp"

#include <fstream>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

namespace fedmpi {

namespace {

std::span<const OptionSpec> core_keys(std::string_view section_name) {
  for (const JobSection& section : job_sections()) {
    if (section_name == section.name) return section.keys;
  }
  throw std::logic_error(fmt::format("a job has no section [{}]", section_name));
}

bool is_core_key(std::string_view section_name, std::string_view key) {
  for (const OptionSpec& spec : core_keys(section_name)) {
    if (key == spec.name) return true;
  }
  return false;
}

Options core_options(const JobText::Section& section, const std::string& name,
                     std::map<std::string, OptionValue> values) {
  const TableContext context{.name = fmt::format("[{}]", name),
                             .prefix = name + ".",
                             .source = section.position,
                             .positions = section.positions,
                             .elsewhere = section_with_key};
  return Options{core_keys(name), check_options(core_keys(name), std::move(values), context), context.name};
}

Options core_options(const JobText& text, const std::string& name) {
  const JobText::Section& section = text.sections.at(name);
  return core_options(section, name, section.values);
}

// For a section that a plugin adds its own keys to: those go to `choice` unchecked.
Options core_options(const JobText& text, const std::string& name, PluginChoice& choice) {
  const JobText::Section& section = text.sections.at(name);
  std::map<std::string, OptionValue> values;
  for (const auto& [key, value] : section.values) {
    (is_core_key(name, key) ? values : choice.given).emplace(key, value);
  }
  Options options = core_options(section, name, std::move(values));
  choice.name = options.get<std::string>("name");
  choice.where = section.positions;
  choice.where.try_emplace("name", section.position);
  return options;
}

int get_int(const Options& options, std::string_view name) {
  return static_cast<int>(options.get<std::int64_t>(name));
}

void read_run(const Options& options, Job& job) {
  job.run.name = options.get<std::string>("name");
  const auto& output = options.get<std::string>("output");
  job.run.output = output.empty() ? std::filesystem::path{"runs"} / job.run.name : std::filesystem::path{output};
  job.run.seed = static_cast<std::uint64_t>(options.get<std::int64_t>("seed"));
  job.run.rounds = get_int(options, "rounds");
  job.run.threads = get_int(options, "threads");
  job.run.device = options.get<std::string>("device") == "cpu" ? DeviceKind::cpu : DeviceKind::cuda;
  job.run.max_seconds = options.get<double>("max_seconds");
  if (options.has("plugins")) {
    for (const std::string& path : options.get<std::vector<std::string>>("plugins")) {
      job.plugin_directories.emplace_back(path);
    }
  }
}

FederationSettings read_federation(const Options& options) {
  return {.clients = get_int(options, "clients"),
          .fraction_fit = options.get<double>("fraction_fit"),
          .fraction_evaluate = options.get<double>("fraction_evaluate"),
          .min_fit_clients = get_int(options, "min_fit_clients"),
          .min_evaluate_clients = get_int(options, "min_evaluate_clients"),
          .on_client_failure =
              options.get<std::string>("on_client_failure") == "abort" ? FailurePolicy::abort : FailurePolicy::drop,
          .round_deadline_seconds = options.get<double>("round_deadline_seconds"),
          .frozen_rank_seconds = options.get<double>("frozen_rank_seconds"),
          .transport = options.get<std::string>("transport"),
          .transport_join_seconds = options.get<double>("transport_join_seconds")};
}

LearningRateSchedule schedule_named(const std::string& name) {
  if (name == "linear") return LearningRateSchedule::linear;
  return name == "cosine" ? LearningRateSchedule::cosine : LearningRateSchedule::constant;
}

TrainingSettings read_training(const Options& options) {
  const bool adamw = options.get<std::string>("optimizer") == "adamw";
  const double default_decay = adamw ? 0.01 : 0.0;
  return {.local_epochs = get_int(options, "local_epochs"),
          .batch_size = options.get<std::int64_t>("batch_size"),
          .optimizer = adamw ? OptimizerKind::adamw : OptimizerKind::sgd,
          .learning_rate = options.get<double>("learning_rate"),
          .momentum = options.get<double>("momentum"),
          .beta1 = options.get<double>("beta1"),
          .beta2 = options.get<double>("beta2"),
          .epsilon = options.get<double>("epsilon"),
          .weight_decay = options.has("weight_decay") ? options.get<double>("weight_decay") : default_decay,
          .schedule = schedule_named(options.get<std::string>("learning_rate_schedule")),
          .warmup_fraction = options.get<double>("warmup_fraction"),
          .max_gradient_norm = options.get<double>("max_gradient_norm"),
          .precision = options.get<std::string>("precision") == "bf16" ? Precision::bf16 : Precision::float32};
}

EvaluationSettings read_evaluation(const Options& options) {
  return {.federated = options.get<bool>("federated"),
          .central = options.get<bool>("central"),
          .central_examples = options.get<std::int64_t>("central_examples"),
          .every = get_int(options, "every"),
          .batch_size = options.get<std::int64_t>("batch_size")};
}

}  // namespace

std::string read_job_file(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    std::vector<std::string> others;
    const auto directory = path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
    for (const auto& entry : std::filesystem::directory_iterator{directory, error}) {
      if (entry.path().extension() == ".toml")
        others.push_back((path.parent_path() / entry.path().filename()).string());
    }
    const std::string near = nearest(name, others);
    throw FileError(fmt::format("there is no job file {}{}", name, near.empty() ? "" : "; did you mean " + near + "?"),
                    path);
  }
  if (!std::filesystem::is_regular_file(path, error)) throw FileError(name + " is not a file; name a job file", path);
  std::ifstream file{path, std::ios::binary};
  std::string text(max_job_bytes + 1, '\0');  // what is longer is refused when it is parsed
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) throw FileError(fmt::format("the job file {} cannot be read", name), path);
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

Job parse_job(const std::string& text, const std::string& source, std::span<const std::string> overrides) {
  const JobText job_text = read_job_text(text, source, overrides);
  Job job;
  job.source = source;
  read_run(core_options(job_text, "run"), job);
  const Options federation = core_options(job_text, "federation");
  job.federation = read_federation(federation);
  job.federation.sampling = read_rule(job_text, "federation", "sampling", federation.get<std::string>("sampling"));
  job.federation.compression =
      read_rule(job_text, "federation", "compression", federation.get<std::string>("compression"));
  core_options(job_text, "strategy", job.strategy);
  core_options(job_text, "model", job.model);
  const Options data = core_options(job_text, "data", job.dataset);
  job.data = {.train_examples_per_client = data.get<std::int64_t>("train_examples_per_client"),
              .test_examples_per_client = data.get<std::int64_t>("test_examples_per_client"),
              .partition = read_rule(job_text, "data", "partition", data.get<std::string>("partition"))};
  job.training = read_training(core_options(job_text, "training"));
  job.evaluation = read_evaluation(core_options(job_text, "evaluation"));
  const Options checkpoint = core_options(job_text, "checkpoint");
  job.checkpoint = {.every = get_int(checkpoint, "every"),
                    .keep = get_int(checkpoint, "keep"),
                    .keep_every = get_int(checkpoint, "keep_every"),
                    .within_round_seconds = checkpoint.get<double>("within_round_seconds")};
  check_across_keys(job, job_text);
  return job;
}

Options plugin_options(const PluginChoice& choice, std::span<const OptionSpec> table, const std::string& section,
                       const Job& job) {
  TableContext context{.name = fmt::format("[{}]", section),
                       .prefix = section + ".",
                       .source = job.source,
                       .positions = choice.where,
                       .elsewhere = section_with_key};
  for (const OptionSpec& spec : core_keys(section)) context.other_keys.emplace_back(spec.name);
  for (const OptionSpec& spec : table) {
    // A key that is missing is missing from where the plugin was named.
    const auto name = choice.where.find("name");
    if (name != choice.where.end()) context.positions.try_emplace(spec.name, name->second);
  }
  return Options{table, check_options(table, choice.given, context), context.name};
}

}  // namespace fedmpi
