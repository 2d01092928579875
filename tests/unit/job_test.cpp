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
                                                .frozen_rank_seconds = 60.0}));
  EXPECT_EQ(job.data, (DataSettings{.partition = "iid"}));
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

TEST(Job, PartitionIsAWordATableOrASection) {
  EXPECT_EQ(parse(smallest + "partition = \"iid\"\n").data.partition, "iid");
  EXPECT_EQ(parse(smallest + "partition = { name = \"iid\" }\n").data.partition, "iid");
  EXPECT_EQ(parse(smallest + "[data.partition]\nname = \"iid\"\n").data.partition, "iid");
  EXPECT_EQ(parse(smallest, {"data.partition={ name = \"iid\" }"}).data.partition, "iid");
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
    EXPECT_NE(text.find("[" + std::string{section.name} + "]\n"), std::string::npos);
    for (const OptionSpec& spec : section.keys) {
      EXPECT_NE(text.find("\n" + std::string{spec.name} + " = "), std::string::npos) << spec.name;
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
        BadJob{"partition = \"dirichlet\"\n", "a.toml:9:1: 'partition' in [data] must be \"iid\", not \"dirichlet\""},
        BadJob{"partition = { name = \"iid\", alpha = 1 }\n",
               "a.toml:9:29: [data.partition] has no key 'alpha'; its keys are name"},
        BadJob{"partition = {}\n", "a.toml:9:1: [data.partition] needs 'name'"},
        BadJob{"[training]\nbatch_size = \n", "a.toml:10:14: "},
        BadJob{"[training]\nbatch_size = 3\nbatch_size = 4\n", "a.toml:11:"}, BadJob{"x = \"\xff\"\n", "a.toml:9:"}));

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
            "--set: 'min_fit_clients' in [federation] is 5, more than the 4 clients there are");
  EXPECT_EQ(error_of(smallest, {"federation.min_evaluate_clients=5"}),
            "--set: 'min_evaluate_clients' in [federation] is 5, more than the 4 clients there are");
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
  EXPECT_EQ(error_of(smallest, {"data.partition.alpha=1"}),
            "--set: 'data.partition.alpha=1' is not of the form section.key=value");
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
