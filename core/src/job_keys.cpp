#include "fedmpi/job.hpp"
#include "key_limits.hpp"

namespace fedmpi {

namespace {

constexpr double int64_maximum = 9223372036854775807.0;

constexpr OptionSpec run_keys[] = {
    {"name", OptionType::string, nullptr, "what the experiment is called: letters, digits, '-', '_' and '.'"},
    {"output", OptionType::string, "", "directory of the results; when empty, runs/ and the name"},
    {"seed", OptionType::integer, "42", "of everything random", 0, int64_maximum},
    {"rounds", OptionType::integer, "3", "rounds of training", 1, int_maximum},
    {"threads", OptionType::integer, "0", "per rank; 0: the node's cores shared among its ranks", 0, 1024},
    {"device", OptionType::string, "cpu",
     "what clients are trained on; \"cuda\": the node's GPUs shared among its ranks", -unbounded, unbounded,
     "cpu|cuda"},
    {"max_seconds", OptionType::number, "0", "stop in time, to be resumed; 0: no limit but a Slurm allocation's", 0,
     1e9},
    {"plugins", OptionType::strings, "", "directories that are searched for plugins first"},
};

constexpr OptionSpec federation_keys[] = {
    {"clients", OptionType::integer, nullptr, "how many clients there are, whatever the number of ranks", 1,
     int_maximum},
    {"fraction_fit", OptionType::number, "1.0", "share of the clients that train in a round", 0, 1},
    {"fraction_evaluate", OptionType::number, "1.0", "share of the clients that evaluate in a round", 0, 1},
    {"min_fit_clients", OptionType::integer, "2", "at least so many train; the default is lowered to 'clients'", 1,
     int_maximum},
    {"min_evaluate_clients", OptionType::integer, "2", "at least so many evaluate; the default is lowered to 'clients'",
     1, int_maximum},
    {"on_client_failure", OptionType::string, "abort",
     "to train: end the job, or go on without the client in that round", -unbounded, unbounded, "abort|drop"},
    {"round_deadline_seconds", OptionType::number, "0",
     "clients that are not done by then are dropped from the round, which then depends on how fast things are; 0: none",
     0, unbounded},
    {"frozen_rank_seconds", OptionType::number, "60",
     "a rank that has been stopped (SIGSTOP) for so long is ended, as if it had died; 0: never", 0, unbounded},
    {"sampling", OptionType::string, "uniform",
     "who takes part in a round: a rule of `fedmpi plugins`, or { name = \"fixed\", clients = [0, 3] }", -unbounded,
     unbounded, "uniform|poisson|weighted|fixed|round_robin|trace"},
    {"compression", OptionType::string, "none",
     "of what a client sends: a rule of `fedmpi plugins`, or { name = \"int8\", block_size = 64 }", -unbounded,
     unbounded, "none|bf16|int8|top_k"},
    {"transport", OptionType::string, "mpi",
     "what carries the parameters: \"mpi\", or a transport plugin such as \"nccl\", which takes a GPU for each rank"},
    {"transport_join_seconds", OptionType::number, "120", "how long ranks of a transport plugin wait for each other", 1,
     1e6},
};

constexpr OptionSpec strategy_keys[] = {
    {"name", OptionType::string, "fedavg", "the strategy plugin"},
};

constexpr OptionSpec model_keys[] = {
    {"name", OptionType::string, nullptr, "the model plugin"},
};

constexpr OptionSpec data_keys[] = {
    {"name", OptionType::string, nullptr, "the dataset plugin"},
    {"train_examples_per_client", OptionType::integer, "0", "0: all of the client's partition", 0, 1e9},
    {"test_examples_per_client", OptionType::integer, "0", "0: all of the client's partition", 0, 1e9},
    {"partition", OptionType::string, "iid",
     "how examples are split over clients: a rule of `fedmpi plugins`, or { name = \"dirichlet\", alpha = 0.5 }",
     -unbounded, unbounded,
     "iid|sizes|linear|square|exponential|dirichlet|inner_dirichlet|pathological|shards|natural_id|grouped_natural_id|"
     "indices"},
};

constexpr OptionSpec training_keys[] = {
    {"local_epochs", OptionType::integer, "1", "passes over a client's examples in a round", 1, int_maximum},
    {"batch_size", OptionType::integer, "32", "examples in a step", 1, int_maximum},
    {"optimizer", OptionType::string, "adamw", "of the clients", -unbounded, unbounded, "adamw|sgd"},
    {"learning_rate", OptionType::number, "5e-5", "at its highest", 0, unbounded},
    {"momentum", OptionType::number, "0", "of sgd", 0, 1},
    {"beta1", OptionType::number, "0.9", "of adamw, less than 1", 0, 1},
    {"beta2", OptionType::number, "0.999", "of adamw, less than 1", 0, 1},
    {"epsilon", OptionType::number, "1e-8", "of adamw, above 0", 1e-30, unbounded},
    {"weight_decay", OptionType::number, "", "when left out, 0.01 with adamw and 0 with sgd", 0, unbounded},
    {"learning_rate_schedule", OptionType::string, "constant", "over the whole run", -unbounded, unbounded,
     "constant|linear|cosine"},
    {"warmup_fraction", OptionType::number, "0", "share of the run in which the learning rate rises from 0", 0, 1},
    {"max_gradient_norm", OptionType::number, "0", "longer gradients are scaled down to it; 0: none are", 0, unbounded},
    {"precision", OptionType::string, "bf16", "of the large products", -unbounded, unbounded, "bf16|float32"},
};

constexpr OptionSpec evaluation_keys[] = {
    {"federated", OptionType::boolean, "true", "each client evaluates on its own held-out examples"},
    {"central", OptionType::boolean, "true", "the server's model is evaluated on the test split"},
    {"central_examples", OptionType::integer, "0", "of the test split; 0: all of it", 0, int64_maximum},
    {"every", OptionType::integer, "1", "rounds", 1, int_maximum},
    {"batch_size", OptionType::integer, "64", "examples at a time", 1, int_maximum},
};

constexpr OptionSpec checkpoint_keys[] = {
    {"every", OptionType::integer, "1", "rounds; 0: only after the last", 0, int_maximum},
    {"keep", OptionType::integer, "3", "newest ones kept; 0: all", 0, int_maximum},
    {"keep_every", OptionType::integer, "0", "rounds whose checkpoints are kept besides; 0: none", 0, int_maximum},
    {"within_round_seconds", OptionType::number, "0",
     "each rank keeps what it has done of a round so often, for rounds that take hours; 0: never", 0, unbounded},
};

constexpr JobSection sections[] = {
    {"run", run_keys},
    {"federation", federation_keys},
    {"strategy", strategy_keys},
    {"model", model_keys},
    {"data", data_keys},
    {"training", training_keys},
    {"evaluation", evaluation_keys},
    {"checkpoint", checkpoint_keys},
};

}  // namespace

std::span<const JobSection> job_sections() {
  return sections;
}

}  // namespace fedmpi
