#include "fedmpi/job.hpp"

#include "fedmpi/error.hpp"

#include <array>
#include <fstream>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

const std::string smallest = R"([run]
name = "a"
[federation]
clients = 4
[model]
name = "m"
[data]
name = "d"
)";

Job parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_job(text, "a.toml", overrides);
}

std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    parse(text, overrides);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

constexpr std::array strategy_table{OptionSpec{"proximal_mu", OptionType::number, "0.1", "strength", 0.0}};
constexpr std::array model_table{OptionSpec{"path", OptionType::string, nullptr, "a Hugging Face directory"},
                                 OptionSpec{"num_labels", OptionType::integer, "2", "classes", 2.0}};
constexpr std::array data_table{OptionSpec{"path", OptionType::string, "", "a directory of shards"},
                                OptionSpec{"weights", OptionType::numbers, "", "of labels"}};

std::string resolved(const Job& job) {
  return resolved_toml(job, plugin_options(job.strategy, strategy_table, "strategy", job),
                       plugin_options(job.model, model_table, "model", job),
                       plugin_options(job.dataset, data_table, "data", job));
}

TEST(Job, HasTheDocumentedDefaults) {
  const Job job = parse(smallest);
  EXPECT_EQ(job.run, (RunSettings{.name = "a", .output = "runs/a", .seed = 42, .rounds = 3, .threads = 0}));
  EXPECT_EQ(job.federation, (FederationSettings{.clients = 4,
                                                .fraction_fit = 1.0,
                                                .fraction_evaluate = 1.0,
                                                .min_fit_clients = 2,
                                                .min_evaluate_clients = 2,
                                                .on_client_failure = FailurePolicy::abort,
                                                .round_deadline_seconds = 0.0,
                                                .frozen_rank_seconds = 60.0,
                                                .sampling = {.name = "uniform"},
                                                .compression = {.name = "none"},
                                                .transport = "mpi",
                                                .transport_join_seconds = 120.0}));
  EXPECT_EQ(job.data, (DataSettings{.partition = {.name = "iid"}}));
  EXPECT_EQ(job.training, (TrainingSettings{.local_epochs = 1,
                                            .batch_size = 32,
                                            .optimizer = OptimizerKind::adamw,
                                            .learning_rate = 5e-5,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .epsilon = 1e-8,
                                            .weight_decay = 0.01,
                                            .precision = Precision::bf16}));
  EXPECT_EQ(job.evaluation, (EvaluationSettings{.federated = true, .central = true, .every = 1, .batch_size = 64}));
  EXPECT_EQ(job.checkpoint, (CheckpointSettings{.every = 1, .keep = 3}));
  EXPECT_EQ(job.strategy.name, "fedavg");
  EXPECT_EQ(job.model.name, "m");
  EXPECT_EQ(job.dataset.name, "d");
  EXPECT_TRUE(job.plugin_directories.empty());
}

TEST(Job, DefaultsThatDependOnOtherKeys) {
  EXPECT_EQ(parse(smallest, {"training.optimizer=sgd"}).training.weight_decay, 0.0);
  EXPECT_EQ(parse(smallest, {"training.optimizer=sgd", "training.weight_decay=0.5"}).training.weight_decay, 0.5);
  const Job one = parse(smallest, {"federation.clients=1"});
  EXPECT_EQ(one.federation.min_fit_clients, 1);
  EXPECT_EQ(one.federation.min_evaluate_clients, 1);
}

TEST(Job, OverridesAreTomlOrABareWord) {
  const Job job =
      parse(smallest, {"run.name=b", "training.learning_rate=1", "strategy.name=\"fedprox\"", "run.plugins=['x', 'y']",
                       "data.partition.name=iid", "model.path=/a=b.c", "run.rounds=5", "run.rounds=6"});
  EXPECT_EQ(job.run.name, "b");
  EXPECT_EQ(job.training.learning_rate, 1.0);
  EXPECT_EQ(job.strategy.name, "fedprox");
  EXPECT_EQ(job.plugin_directories, (std::vector<std::filesystem::path>{"x", "y"}));
  EXPECT_EQ(std::get<std::string>(job.model.given.at("path")), "/a=b.c");
  EXPECT_EQ(job.model.where.at("path"), "--set");
  EXPECT_EQ(job.run.rounds, 6);
}

TEST(Job, ARuleIsAWordATableOrASection) {
  EXPECT_EQ(parse(smallest + "partition = \"linear\"\n").data.partition.name, "linear");
  EXPECT_EQ(parse(smallest + "partition = { name = \"linear\" }\n").data.partition.name, "linear");
  EXPECT_EQ(parse(smallest + "[data.partition]\nname = \"linear\"\n").data.partition.name, "linear");
  EXPECT_EQ(parse(smallest, {"data.partition={ name = \"linear\" }"}).data.partition.name, "linear");
  EXPECT_EQ(parse(smallest, {"data.partition=linear"}).data.partition.name, "linear");
  EXPECT_EQ(parse(smallest, {"federation.sampling=poisson"}).federation.sampling.name, "poisson");
}

TEST(Job, ARulesOptionsAreCheckedAndFilledIn) {
  const RuleChoice rule = parse(smallest + "partition = { name = \"dirichlet\", alpha = 1 }\n").data.partition;
  EXPECT_EQ(rule.options.get<std::vector<double>>("alpha"), std::vector<double>{1.0});
  EXPECT_EQ(rule.options.get<std::int64_t>("min_partition_size"), 10);
  EXPECT_FALSE(rule.options.get<bool>("self_balancing"));
  EXPECT_EQ(rule.where.at("alpha"), "a.toml:9:35");
  EXPECT_EQ(rule.where.at("name"), "a.toml:9:15");
  const RuleChoice list =
      parse(smallest + "partition = { name = \"dirichlet\", alpha = [1, 2.5, 3, 4] }\n").data.partition;
  EXPECT_EQ(list.options.get<std::vector<double>>("alpha"), (std::vector<double>{1.0, 2.5, 3.0, 4.0}));
}

TEST(Job, OverridesReachIntoARule) {
  const std::string with_table = smallest + "partition = { name = \"dirichlet\", alpha = 1, self_balancing = true }\n";
  const RuleChoice one = parse(with_table, {"data.partition.alpha=0.1"}).data.partition;
  EXPECT_EQ(one.options.get<std::vector<double>>("alpha"), std::vector<double>{0.1});
  EXPECT_TRUE(one.options.get<bool>("self_balancing"));
  EXPECT_EQ(one.where.at("alpha"), "--set");
  const RuleChoice other = parse(smallest, {"data.partition.name=dirichlet", "data.partition.alpha=2"}).data.partition;
  EXPECT_EQ(other.options.get<std::vector<double>>("alpha"), std::vector<double>{2.0});
  const RuleChoice added =
      parse(smallest, {"data.partition=sizes", "data.partition.partition_sizes=[1, 2, 3, 4]"}).data.partition;
  EXPECT_EQ(added.options.get<std::vector<std::int64_t>>("partition_sizes").size(), 4U);
  // A whole rule takes the place of the other: nothing is left of its keys.
  EXPECT_EQ(parse(with_table, {"data.partition=linear"}).data.partition.options, Options{});
  EXPECT_EQ(error_of(with_table, {"data.partition.name=linear"}),
            "a.toml:9:35: [data.partition] has no key 'alpha'; it belongs to the rule \"dirichlet\" or "
            "\"inner_dirichlet\"");
  EXPECT_EQ(error_of(with_table, {"data.partition.alpha=x"}),
            "--set: 'alpha' in [data.partition] must be a list of numbers, not the string \"x\"");
  EXPECT_EQ(error_of(smallest, {"data.partition.alpha=1"}).substr(0, 75),
            "--set: [data.partition] needs 'name': one of iid, sizes, linear, square, ex");
}

// The names that the key's row allows are those of the rules, and every rule's table is sound.
TEST(Job, RulesAreInTheTables) {
  for (const JobRules& rules : job_rules()) {
    std::string names;
    for (const JobRule& rule : rules.rules) {
      if (!names.empty()) names += "|";
      names += rule.name;
      EXPECT_STRNE(rule.help, "");
      try {
        Options{rule.keys, {}, rule.name};
      } catch (const ConfigError&) {  // it has a key that must be given
      }
    }
    const OptionSpec* row = nullptr;
    for (const JobSection& section : job_sections())
      for (const OptionSpec& spec : section.keys)
        if (section.name == std::string_view{rules.section} && spec.name == std::string_view{rules.key}) row = &spec;
    ASSERT_NE(row, nullptr);
    EXPECT_EQ(row->choices, names);
  }
}

TEST(Job, EveryRuleSurvivesBeingWrittenOut) {
  for (const char* partition :
       {"\"iid\"", "\"exponential\"", "\"natural_id\"", "{ name = \"sizes\", partition_sizes = [3, 4] }",
        "{ name = \"dirichlet\", alpha = [0.1, 2, 3, 4], min_partition_size = 3, self_balancing = true }",
        "{ name = \"inner_dirichlet\", alpha = 0.5, partition_sizes = 100 }",
        "{ name = \"pathological\", num_classes_per_partition = 2, class_assignment_mode = \"deterministic\" }",
        "{ name = \"shards\", shard_size = 7 }", "{ name = \"shards\", num_shards_per_partition = 2 }",
        "{ name = \"grouped_natural_id\", group_size = 3, mode = \"drop-reminder\", sort_unique_ids = true }",
        "{ name = \"indices\", file = \"a \\\"b\\\".json\" }"}) {
    for (const char* sampling : {"\"uniform\"", "\"poisson\"", "{ name = \"fixed\", clients = [3, 1] }",
                                 "{ name = \"trace\", file = \"t.json\", file_digest = \"ab\" }"}) {
      const Job job = parse(smallest + "path = \"x\"\npartition = " + partition + "\n",
                            {std::string{"federation.sampling="} + sampling, "model.path=x"});
      const std::string text = resolved(job);
      const Job again = parse(text);
      EXPECT_EQ(again.data, job.data) << text;
      EXPECT_EQ(again.federation, job.federation) << text;
      EXPECT_EQ(resolved(again), text);
    }
  }
}

TEST(Job, EveryCompressionSurvivesBeingWrittenOut) {
  for (const char* compression : {"\"none\"", "\"bf16\"", "{ name = \"bf16\", rounding = \"stochastic\" }", "\"int8\"",
                                  "{ name = \"int8\", block_size = 256 }", "\"top_k\"",
                                  "{ name = \"top_k\", fraction = 1e-3, error_feedback = false }"}) {
    const Job job = parse(smallest, {std::string{"federation.compression="} + compression, "model.path=x"});
    EXPECT_EQ(parse(resolved(job)).federation, job.federation) << resolved(job);
  }
  const Options defaults = parse(smallest, {"federation.compression=top_k"}).federation.compression.options;
  EXPECT_EQ(defaults.get<double>("fraction"), 0.01);
  EXPECT_TRUE(defaults.get<bool>("error_feedback"));
  EXPECT_EQ(
      parse(smallest, {"federation.compression=int8"}).federation.compression.options.get<std::int64_t>("block_size"),
      64);
  EXPECT_EQ(error_of(smallest, {"federation.compression={ name = \"int8\", fraction = 0.1 }"}),
            "--set: [federation.compression] has no key 'fraction'; it belongs to the rule \"top_k\"");
}

TEST(Job, FixedClientsMustBeThere) {
  const auto error = [](const std::string& clients, std::vector<std::string> more = {}) {
    more.push_back("federation.sampling={ name = \"fixed\", clients = " + clients + " }");
    return error_of(smallest, more);
  };
  EXPECT_EQ(error("[]"), "--set: 'clients' in [federation.sampling] is empty, so that nobody would train");
  EXPECT_EQ(error("[0, 4]"), "--set: 'clients' in [federation.sampling] has 4, but the clients are 0 to 3");
  EXPECT_EQ(error("[0, 3, 0]"), "--set: 'clients' in [federation.sampling] has 0 twice");
  EXPECT_EQ(error("[-1]"),
            "--set: 'clients' in [federation.sampling] holds an element that must be between 0 and 2147483647, not -1");
  EXPECT_EQ(error("[0, 1]", {"federation.fraction_fit=0.5"}),
            "--set: 'fraction_fit' in [federation] means nothing beside the sampling \"fixed\", which takes its list: "
            "leave it out");
  EXPECT_EQ(error("[0, 1]", {"federation.min_fit_clients=3"}),
            "--set: 'min_fit_clients' in [federation] is 3, more than the 2 clients there are to choose from");
  EXPECT_EQ(parse(smallest, {"federation.sampling={ name = \"fixed\", clients = 2 }"}).federation.min_fit_clients, 1);
}

TEST(Job, ResolvedTomlGivesTheSameJob) {
  const Job job = parse(R"([run]
name = "all"
output = "some \"where\"\t\\ é"
seed = 9007199254740993
rounds = 7
threads = 3
plugins = ["p", "q"]
[federation]
clients = 9
fraction_fit = 0.3
fraction_evaluate = 0.7
min_fit_clients = 3
min_evaluate_clients = 4
on_client_failure = "drop"
sampling = "weighted"
compression = { name = "top_k", fraction = 0.25, error_feedback = false }
[strategy]
name = "fedprox"
proximal_mu = 1
[model]
name = "m"
path = "x"
num_labels = 5
[data]
name = "d"
train_examples_per_client = 11
test_examples_per_client = 12
weights = [1, 2.5]
partition = { name = "dirichlet", alpha = 0.3 }
[training]
local_epochs = 2
batch_size = 8
optimizer = "sgd"
learning_rate = 0.1
momentum = 0.9
weight_decay = 1e-300
learning_rate_schedule = "cosine"
warmup_fraction = 0.125
max_gradient_norm = 123456789.0
precision = "float32"
[evaluation]
federated = false
central = false
central_examples = 100
every = 2
batch_size = 3
[checkpoint]
every = 4
keep = 5
keep_every = 6
within_round_seconds = 900.0
)");
  const std::string text = resolved(job);
  const Job again = parse(text);
  EXPECT_EQ(again.run, job.run);
  EXPECT_EQ(again.federation, job.federation);
  EXPECT_EQ(again.data, job.data);
  EXPECT_EQ(again.training, job.training);
  EXPECT_EQ(again.evaluation, job.evaluation);
  EXPECT_EQ(again.checkpoint, job.checkpoint);
  EXPECT_EQ(again.plugin_directories, job.plugin_directories);
  EXPECT_EQ(again.strategy.name, "fedprox");
  EXPECT_EQ(plugin_options(again.strategy, strategy_table, "strategy", again).get<double>("proximal_mu"), 1.0);
  EXPECT_EQ(resolved(again), text);
  for (const JobSection& section : job_sections()) {
    const std::string name = section.name;
    EXPECT_NE(text.find("[" + name + "]\n"), std::string::npos);
    for (const OptionSpec& spec : section.keys) {
      const std::string_view key = spec.name;
      const bool is_rule = key == "partition" || key == "sampling" || key == "compression";
      std::string line = is_rule ? "\n[" : "\n";
      if (is_rule) line += name + ".";
      line.append(spec.name).append(is_rule ? "]\nname = " : " = ");
      EXPECT_NE(text.find(line), std::string::npos) << spec.name;
    }
  }
}

TEST(Job, ResolvedDefaultsGiveTheSameJob) {
  const std::string text = resolved(parse(smallest, {"model.path=x", "federation.clients=1"}));
  EXPECT_EQ(resolved(parse(text)), text);
  EXPECT_NE(text.find("min_fit_clients = 1\n"), std::string::npos);
  EXPECT_NE(text.find("plugins = []\n"), std::string::npos);
}

struct BadJob {
  const char* added;  // after `smallest`, from line 9 on
  const char* sentence;
};

class BadJobs : public testing::TestWithParam<BadJob> {};

TEST_P(BadJobs, SayWhatIsWrongAndWhere) {
  const std::string error = error_of(smallest + GetParam().added);
  EXPECT_EQ(error.substr(0, std::string_view{GetParam().sentence}.size()), GetParam().sentence) << error;
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadJobs,
    testing::Values(
        BadJob{"[training]\nbatchsize = 3\n",
               "a.toml:10:1: [training] has no key 'batchsize'; did you mean 'batch_size'?"},
        BadJob{"[training]\n\n  qqq = 3\n",
               "a.toml:11:3: [training] has no key 'qqq'; its keys are local_epochs, batch"},
        BadJob{"[training]\nrounds = 3\n", "a.toml:10:1: [training] has no key 'rounds'; it belongs to [run]"},
        BadJob{"[traning]\nbatch_size = 3\n", "a.toml:9:2: there is no section [traning]; did you mean [training]?"},
        BadJob{"[zzz]\n", "a.toml:9:2: there is no section [zzz]; the sections are run, federation, strategy, model,"},
        BadJob{"[[training]]\nbatch_size = 3\n",
               "a.toml:9:3: 'training' must be a section; begin it with the line [training]"},
        BadJob{"[training]\nbatch_size = \"32\"\n",
               "a.toml:10:1: 'batch_size' in [training] must be an integer, not the string \"32\""},
        BadJob{"[training]\nbatch_size = 32.5\n",
               "a.toml:10:1: 'batch_size' in [training] must be an integer, not the number 32.5"},
        BadJob{"[training]\nbatch_size = 0\n",
               "a.toml:10:1: 'batch_size' in [training] must be between 1 and 2147483647, not 0"},
        BadJob{"[training]\nbatch_size = [3]\n",
               "a.toml:10:1: 'batch_size' in [training] must be an integer, not a list of integers"},
        BadJob{"[training]\nbatch_size = 1979-05-27\n", "a.toml:10:1: 'batch_size' in [training] is a date; "},
        BadJob{"[training]\nbatch_size = { a = 1 }\n", "a.toml:10:1: 'batch_size' in [training] is a table; "},
        BadJob{"[training]\nbatch_size = [1, \"a\"]\n", "a.toml:10:1: 'batch_size' in [training] is a list of mixed"},
        BadJob{"[training]\nlocal_epochs = 2147483648\n",
               "a.toml:10:1: 'local_epochs' in [training] must be between 1 and 2147483647, not 2147483648"},
        BadJob{"[training]\nlearning_rate = nan\n",
               "a.toml:10:1: 'learning_rate' in [training] must be a finite number, not nan"},
        BadJob{"[training]\nlearning_rate = inf\n",
               "a.toml:10:1: 'learning_rate' in [training] must be a finite number, not inf"},
        BadJob{"[training]\nlearning_rate = -1\n",
               "a.toml:10:1: 'learning_rate' in [training] must be at least 0, not -1"},
        BadJob{"[training]\noptimizer = \"adam\"\n",
               "a.toml:10:1: 'optimizer' in [training] must be one of \"adamw\", \"sgd\", not \"adam\"; did you mean "
               "\"adamw\"?"},
        BadJob{"[training]\nmomentum = 0.9\n",
               "a.toml:10:1: 'momentum' in [training] is for sgd, and 'optimizer' is \"adamw\""},
        BadJob{"[training]\noptimizer = \"sgd\"\nbeta2 = 0.9\n",
               "a.toml:11:1: 'beta2' in [training] is for adamw, and 'optimizer' is \"sgd\""},
        BadJob{"[training]\nbeta1 = 1\n", "a.toml:10:1: 'beta1' in [training] must be less than 1"},
        BadJob{"[evaluation]\nfederated = 1\n",
               "a.toml:10:1: 'federated' in [evaluation] must be true or false, not the integer 1"},
        BadJob{
            "partition = \"dirichle\"\n",
            "a.toml:9:1: 'partition' in [data] must be one of \"iid\", \"sizes\", \"linear\", \"square\", "
            "\"exponential\", "
            "\"dirichlet\", \"inner_dirichlet\", \"pathological\", \"shards\", \"natural_id\", \"grouped_natural_id\", "
            "\"indices\", not \"dirichle\"; did you mean \"dirichlet\"?"},
        BadJob{"partition = { name = \"dirichle\", alpha = 1 }\n", "a.toml:9:15: 'partition' in [data] must be one of"},
        BadJob{"partition = \"dirichlet\"\n",
               "a.toml:9:1: [data.partition] needs 'alpha': the smaller, the less alike"},
        BadJob{"partition = { name = \"dirichlet\", alhpa = 1 }\n",
               "a.toml:9:35: [data.partition] has no key 'alhpa'; did you mean 'alpha'?"},
        BadJob{"partition = { name = \"dirichlet\", alpha = 0 }\n",
               "a.toml:9:35: 'alpha' in [data.partition] holds an element that must be at least 1e-09, not 0"},
        BadJob{"partition = { name = \"dirichlet\", alpha = [[1]] }\n",
               "a.toml:9:35: 'alpha' in [data.partition] is a list of mixed or unknown things"},
        BadJob{"partition = { name = \"iid\", alpha = 1 }\n",
               "a.toml:9:29: [data.partition] has no key 'alpha'; it belongs to the rule \"dirichlet\" or \"inner_"},
        BadJob{"partition = { name = \"iid\", seed = 1 }\n",
               "a.toml:9:29: [data.partition] has no key 'seed'; it belongs to [run]"},
        BadJob{"partition = { name = \"iid\", qqq = 1 }\n",
               "a.toml:9:29: [data.partition] has no key 'qqq'; its keys are name"},
        BadJob{"partition = { nam = \"iid\" }\n",
               "a.toml:9:15: [data.partition] has no key 'nam'; did you mean 'name'?"},
        BadJob{"[data.partition]\nalpha = 1\n", "a.toml:9:7: [data.partition] needs 'name': one of iid, sizes, "},
        BadJob{"partition = 3\n", "a.toml:9:1: 'partition' in [data] must be a string, not the integer 3"},
        BadJob{"partition = {}\n", "a.toml:9:1: [data.partition] needs 'name'"},
        BadJob{"[training]\nbatch_size = \n", "a.toml:10:14: "},
        BadJob{"path = data/imdb # here\n",
               "a.toml:9:8: 'data/imdb' is no value: text stands in quotes, \"data/imdb\""},
        BadJob{"path = ../imdb", "a.toml:9:8: '../imdb' is no value: text stands in quotes, \"../imdb\""},
        BadJob{"partition = fedavg\n", "a.toml:9:13: 'fedavg' is no value: text stands in quotes, \"fedavg\""},
        BadJob{"partition = { name = iid }\n", "a.toml:9:22: 'iid' is no value: text stands in quotes, \"iid\""},
        BadJob{"x = [\"a\", b]\n", "a.toml:9:11: 'b' is no value: text stands in quotes, \"b\""},
        BadJob{"x = two words\r\n", "a.toml:9:5: 'two words' is no value: text stands in quotes, \"two words\""},
        BadJob{"x = True\n", "a.toml:9:5: 'True' is no value: write true"}, BadJob{"x = .5\n", "a.toml:9:5: "},
        BadJob{"[training\nx = 1\n", "a.toml:9:10: "}, BadJob{"x = 3 4\n", "a.toml:9:7: "},
        BadJob{"x y = 3\n", "a.toml:9:3: "}, BadJob{"[training]\nbatch_size = 3\nbatch_size = 4\n", "a.toml:11:"},
        BadJob{"x = \"\xff\"\n", "a.toml:9:"}));

TEST(Job, SaysWhatIsMissing) {
  EXPECT_EQ(error_of(""),
            "a.toml: [run] needs 'name': what the experiment is called: letters, digits, '-', '_' and '.'");
  EXPECT_EQ(error_of("[run]\nname = \"a\"\n[federation]\n"),
            "a.toml:3:2: [federation] needs 'clients': how many clients there are, whatever the number of ranks");
  EXPECT_EQ(error_of("rounds = 3\n" + smallest),
            "a.toml:1:1: 'rounds' stands outside any section; it belongs to [run]");
  EXPECT_EQ(error_of("run = 3\n"), "a.toml:1:1: 'run' must be a section; begin it with the line [run]");
  EXPECT_NE(error_of(std::string((1 << 20) + 1, '#')).find("a job file has at most 1048576 bytes"), std::string::npos);
  std::string nested = "a";
  for (int i = 0; i < 200'000; ++i) nested += ".a";
  EXPECT_NE(error_of(nested + " = 1").find("a job file has at most 4096 dots"), std::string::npos);
}

TEST(Job, KeysMustFitEachOther) {
  EXPECT_EQ(error_of(smallest, {"federation.min_fit_clients=5"}),
            "--set: 'min_fit_clients' in [federation] is 5, more than the 4 clients there are to choose from");
  EXPECT_EQ(error_of(smallest, {"federation.min_evaluate_clients=5"}),
            "--set: 'min_evaluate_clients' in [federation] is 5, more than the 4 clients there are to choose from");
  EXPECT_EQ(error_of(smallest, {"federation.fraction_fit=1.5"}),
            "--set: 'fraction_fit' in [federation] must be between 0 and 1, not 1.5");
  EXPECT_NE(error_of(smallest, {"federation.fraction_evaluate=0"}).find("set federated = false"), std::string::npos);
  EXPECT_EQ(error_of(smallest, {"federation.fraction_evaluate=0", "evaluation.federated=false"}), "no error");
  EXPECT_NE(error_of(smallest, {"run.name=../b"}).find("must be made of letters"), std::string::npos);
}

TEST(Job, OverridesGiveTheSameErrors) {
  EXPECT_EQ(error_of(smallest, {"training.batchsize=3"}),
            "--set: [training] has no key 'batchsize'; did you mean 'batch_size'?");
  EXPECT_EQ(error_of(smallest, {"traning.batch_size=3"}),
            "--set: there is no section [traning]; did you mean [training]?");
  EXPECT_EQ(error_of(smallest, {"training.batch_size=x"}),
            "--set: 'batch_size' in [training] must be an integer, not the string \"x\"");
  EXPECT_EQ(error_of(smallest, {"batch_size=3"}), "--set: 'batch_size=3' is not of the form section.key=value");
  EXPECT_EQ(error_of(smallest, {"training.batch_size"}),
            "--set: 'training.batch_size' is not of the form section.key=value");
  EXPECT_EQ(error_of(smallest, {"run.plugins=['x'"}),
            "--set: the value of run.plugins is neither a TOML value nor a bare word");
  EXPECT_EQ(error_of(smallest, {"run.rounds=3\nthreads=9"}),
            "--set: 'rounds' in [run] must be an integer, not the string \"3\nthreads=9\"");
  EXPECT_EQ(error_of(smallest, {"run.output=\xff"}),
            "--set: the value of run.output is neither a TOML value nor a bare word");
  EXPECT_EQ(error_of(smallest, {"data.path.alpha=1"}),
            "--set: 'data.path.alpha=1' is not of the form section.key=value");
}

TEST(Job, AConfigErrorCarriesPlaceAndKey) {
  try {
    parse(smallest + "[training]\nbatchsize = 3\n");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.where, "a.toml:10:1");
    EXPECT_EQ(error.key, "training.batchsize");
  }
}

std::string plugin_error(const Job& job, const PluginChoice& choice, std::span<const OptionSpec> table,
                         const std::string& section) {
  try {
    plugin_options(choice, table, section, job);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Job, PluginOptionsAreCheckedInTheirPlace) {
  const Job job = parse(smallest + "path = 3\n[strategy]\nproximal_nu = 0.1\n");
  EXPECT_EQ(plugin_error(job, job.strategy, strategy_table, "strategy"),
            "a.toml:11:1: [strategy] has no key 'proximal_nu'; did you mean 'proximal_mu'?");
  EXPECT_EQ(plugin_error(job, job.model, model_table, "model"),
            "a.toml:6:1: [model] needs 'path': a Hugging Face directory");
  EXPECT_EQ(plugin_error(job, job.dataset, data_table, "data"),
            "a.toml:9:1: 'path' in [data] must be a string, not the integer 3");
  const Job misspelt = parse(smallest + "train_examples_per_cleint = 3\n");
  EXPECT_EQ(plugin_error(misspelt, misspelt.dataset, data_table, "data"),
            "a.toml:9:1: [data] has no key 'train_examples_per_cleint'; did you mean 'train_examples_per_client'?");
  const Job set = parse(smallest, {"model.pth=x"});
  EXPECT_EQ(plugin_error(set, set.model, model_table, "model"),
            "--set: [model] has no key 'pth'; did you mean 'path'?");
}

TEST(Job, TheRepositorysJobsAreUnderstood) {
  const std::filesystem::path jobs = std::filesystem::path{FEDMPI_SOURCE_DIR} / "jobs";
  const Job imdb = parse_job(read_job_file(jobs / "imdb.toml"), "imdb.toml", {});
  EXPECT_EQ(imdb.federation.clients, 7);
  EXPECT_EQ(imdb.run.rounds, 3);
  EXPECT_EQ(imdb.data.train_examples_per_client, 100);
  EXPECT_EQ(imdb.training.epsilon, 1e-6);
  EXPECT_EQ(imdb.training.weight_decay, 0.0);
  EXPECT_EQ(imdb.evaluation.central_examples, 1000);
  EXPECT_EQ(std::get<std::string>(imdb.model.given.at("path")), "data/minilm");
  const Job smoke = parse_job(read_job_file(jobs / "smoke.toml"), "smoke.toml", {});
  EXPECT_EQ(smoke.federation.clients, 10);
  const Job quickstart = parse_job(read_job_file(jobs / "quickstart.toml"), "quickstart.toml", {});
  EXPECT_EQ(quickstart.federation.clients, 7);
  try {
    read_job_file(jobs / "imbd.toml");
    FAIL();
  } catch (const FileError& error) {
    EXPECT_EQ(error.what(), "there is no job file " + (jobs / "imbd.toml").string() + "; did you mean " +
                                (jobs / "imdb.toml").string() + "?");
  }
}

}  // namespace
}  // namespace fedmpi
