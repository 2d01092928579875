#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/options.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

// One experiment, as one TOML file describes it. The tables of keys in job_keys.cpp hold defaults, ranges and help.

enum class DeviceKind { cpu, cuda };

struct RunSettings {
  std::string name;
  std::filesystem::path output;  // default runs/<name>
  std::uint64_t seed = 0;
  int rounds = 0;
  int threads = 0;  // per rank; 0: the cores of the node shared among its ranks
  DeviceKind device = DeviceKind::cpu;
  double max_seconds = 0.0;  // 0: no limit
  bool operator==(const RunSettings&) const = default;
};

// One of the rules that the core knows by name (job_rules), and what the job gives it, checked against its table.
struct RuleChoice {
  std::string name = {};
  std::string table = {};  // "data.partition"
  Options options = {};
  std::map<std::string, std::string> where = {};  // key -> "file:line:column" or "--set"; "name" is always there
  std::string file_text = {};                     // of options' "file", once load_rule_files was called
  bool operator==(const RuleChoice& other) const { return name == other.name && options == other.options; }
};

enum class FailurePolicy { abort, drop };

struct FederationSettings {
  int clients = 0;
  double fraction_fit = 0.0;
  double fraction_evaluate = 0.0;
  int min_fit_clients = 0;
  int min_evaluate_clients = 0;
  FailurePolicy on_client_failure = FailurePolicy::abort;
  double round_deadline_seconds = 0.0;  // for the fits of a round; 0: none
  double frozen_rank_seconds = 0.0;     // 0: never ended
  RuleChoice sampling = {};
  RuleChoice compression = {};  // of what a client sends
  std::string transport = {};   // "mpi", or a plugin
  double transport_join_seconds = 0.0;
  bool operator==(const FederationSettings&) const = default;
};

struct DataSettings {
  std::int64_t train_examples_per_client = 0;  // 0: all of the partition
  std::int64_t test_examples_per_client = 0;
  RuleChoice partition = {};
  bool operator==(const DataSettings&) const = default;
};

enum class OptimizerKind { sgd, adamw };
enum class LearningRateSchedule { constant, linear, cosine };

struct TrainingSettings {
  int local_epochs = 0;
  std::int64_t batch_size = 0;
  OptimizerKind optimizer = OptimizerKind::adamw;
  double learning_rate = 0.0;
  double momentum = 0.0;            // sgd
  double beta1 = 0.0, beta2 = 0.0;  // adamw
  double epsilon = 0.0;
  double weight_decay = 0.0;
  LearningRateSchedule schedule = LearningRateSchedule::constant;
  double warmup_fraction = 0.0;    // of the whole run
  double max_gradient_norm = 0.0;  // 0: no clipping
  Precision precision = Precision::bf16;
  bool operator==(const TrainingSettings&) const = default;
};

struct EvaluationSettings {
  bool federated = false;
  bool central = false;
  std::int64_t central_examples = 0;  // 0: the whole test split
  int every = 0;                      // rounds
  std::int64_t batch_size = 0;
  bool operator==(const EvaluationSettings&) const = default;
};

struct CheckpointSettings {
  int every = 0;                      // rounds; 0: only after the last
  int keep = 0;                       // newest ones kept; 0: all
  int keep_every = 0;                 // rounds whose checkpoints are kept besides; 0: none
  double within_round_seconds = 0.0;  // how often what is done of a round is kept; 0: never
  bool operator==(const CheckpointSettings&) const = default;
};

// Which plugin, and what the job gives it. The values are checked against the plugin's own table once it is loaded.
struct PluginChoice {
  std::string name;
  std::map<std::string, OptionValue> given;
  std::map<std::string, std::string> where;  // key -> "file:line:column" or "--set"
};

struct Job {
  std::string source;  // the file's name, for messages
  RunSettings run;
  FederationSettings federation;
  DataSettings data;
  TrainingSettings training;
  EvaluationSettings evaluation;
  CheckpointSettings checkpoint;
  std::vector<std::filesystem::path> plugin_directories;  // run.plugins
  bool trust_plugins = false;                             // of the command line alone: see PluginTrust
  PluginChoice strategy;
  PluginChoice model;
  PluginChoice dataset;
};

// The text of a job file. FileError when there is none, naming the nearest there is.
FEDMPI_API std::string read_job_file(const std::filesystem::path& path);

// "run.seed" for "seed": keys of [run] may be written without it on the command line. Others as they are.
FEDMPI_API std::string full_key(std::string_view key);

// Parses and checks a job. `overrides` are --set arguments, "section.key=value" with the value in TOML or a bare
// word. Relative paths in it stay relative to the working directory. Throws ConfigError, one sentence with
// file:line:column and, for an unknown key, the nearest right one.
FEDMPI_API Job parse_job(const std::string& text, const std::string& source, std::span<const std::string> overrides);

// What the job gives a plugin, checked against the plugin's table. `section` is "strategy", "model" or "data". Throws
// ConfigError as parse_job does.
FEDMPI_API Options plugin_options(const PluginChoice& choice, std::span<const OptionSpec> table,
                                  const std::string& section, const Job& job);

// The job with every key and default written out, as TOML: what `job.toml` in a run's directory and a checkpoint
// hold. parse_job of it gives the same job.
FEDMPI_API std::string resolved_toml(const Job& job, const Options& strategy, const Options& model,
                                     const Options& dataset);

// The core's own tables: section name and rows, in the order of the documentation.
struct JobSection {
  const char* name;
  std::span<const OptionSpec> keys;
};
FEDMPI_API std::span<const JobSection> job_sections();

// Keys whose value is the name of a rule, or a table of a name and the rule's own keys: `partition = "iid"`,
// `partition = { name = "dirichlet", alpha = 0.5 }`.
struct JobRule {
  const char* name;
  const char* help;  // one line
  std::span<const OptionSpec> keys;
};
struct JobRules {
  const char* section;
  const char* key;
  std::span<const JobRule> rules;
};
FEDMPI_API std::span<const JobRules> job_rules();

}  // namespace fedmpi
