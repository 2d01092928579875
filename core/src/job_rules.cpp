#include "fedmpi/job.hpp"
#include "key_limits.hpp"

namespace fedmpi {

namespace {

constexpr double smallest_alpha = 1e-9, smallest_fraction = 1e-9;

// Partitions: names, keys and defaults of flwr-datasets' partitioners.

constexpr OptionSpec sizes_keys[] = {
    {"partition_sizes", OptionType::integers, nullptr,
     "training examples of each client; a single number: of every one", 1, 1e9},
};

constexpr OptionSpec dirichlet_keys[] = {
    {"alpha", OptionType::numbers, nullptr,
     "the smaller, the less alike the clients; a single number, or one for each client", smallest_alpha, unbounded},
    {"min_partition_size", OptionType::integer, "10",
     "training examples of each client at least; drawn again, at most 10 times, until all have them", 1, 1e9},
    {"self_balancing", OptionType::boolean, "false",
     "a client that has more than the mean gets nothing of the labels that follow"},
};

constexpr OptionSpec inner_dirichlet_keys[] = {
    {"partition_sizes", OptionType::integers, nullptr,
     "training examples of each client; a single number: of every one", 1, 1e9},
    {"alpha", OptionType::numbers, nullptr,
     "the smaller, the fewer labels a client has; a single number, or one for each label", smallest_alpha, unbounded},
};

constexpr OptionSpec pathological_keys[] = {
    {"num_classes_per_partition", OptionType::integer, nullptr, "labels that each client has", 1, int_maximum},
    {"class_assignment_mode", OptionType::string, "random",
     "which labels; deterministic: client c has c, c + 1, ...; first-deterministic: c and others at random", -unbounded,
     unbounded, "random|deterministic|first-deterministic"},
};

constexpr OptionSpec shards_keys[] = {
    {"num_shards_per_partition", OptionType::integer, "", "shards of each client; when left out, all are dealt out", 1,
     1e9},
    {"shard_size", OptionType::integer, "", "examples in a shard; when left out, what the number of shards allows", 1,
     1e9},
    {"keep_incomplete_shard", OptionType::boolean, "false", "deal out the last shard though it is smaller"},
};

constexpr OptionSpec grouped_natural_id_keys[] = {
    {"group_size", OptionType::integer, nullptr, "natural ids of each client", 1, 1e9},
    {"mode", OptionType::string, "allow-smaller",
     "what becomes of the ids that are left over: a smaller last group, larger first ones, dropped, an error",
     -unbounded, unbounded, "allow-smaller|allow-bigger|drop-reminder|strict"},
    {"sort_unique_ids", OptionType::boolean, "false", "group them in ascending order, not as they first come"},
};

constexpr OptionSpec indices_keys[] = {
    {"file", OptionType::string, nullptr,
     "JSON: {\"train\": [[0, 5], [3]], \"test\": ...}, a list of examples for each client; test may be left out"},
    {"file_digest", OptionType::string, "", "of the file; the program fills it in"},
};

constexpr JobRule partitions[] = {
    {"iid", "all examples shuffled, parts of equal size", {}},
    {"sizes", "all examples shuffled, parts of the sizes given", sizes_keys},
    {"linear", "client c has a part proportional to c + 1", {}},
    {"square", "client c has a part proportional to (c + 1)^2", {}},
    {"exponential", "client c has a part proportional to e^(c + 1)", {}},
    {"dirichlet", "each label's examples are divided by a draw from a Dirichlet distribution", dirichlet_keys},
    {"inner_dirichlet", "parts of the sizes given, each with labels by a draw from a Dirichlet distribution",
     inner_dirichlet_keys},
    {"pathological", "each client has a few labels only", pathological_keys},
    {"shards", "examples sorted by label, cut into shards that are dealt out at random", shards_keys},
    {"natural_id", "one client for each natural id (a user, a hospital) that the dataset knows", {}},
    {"grouped_natural_id", "one client for so many natural ids", grouped_natural_id_keys},
    {"indices", "what a file says", indices_keys},
};

// Who takes part in a round.

constexpr OptionSpec fixed_keys[] = {
    {"clients", OptionType::integers, nullptr, "who takes part in every round, in place of a fraction", 0, int_maximum},
};

constexpr OptionSpec trace_keys[] = {
    {"file", OptionType::string, nullptr,
     "JSON: {\"rounds\": [[0, 2], [1]]}, who is there in round 1, 2; or {\"clients\": [[[1, 5], [9, 9]], [[2, 3]]]}, "
     "the "
     "first and the last round of each stay of client 0, 1"},
    {"file_digest", OptionType::string, "", "of the file; the program fills it in"},
};

constexpr JobRule samplings[] = {
    {"uniform", "as many as the fraction says, all equally likely", {}},
    {"poisson", "each client on its own, with the fraction as its probability; at least the minimum number", {}},
    {"weighted", "as many as the fraction says, those with more training examples more likely", {}},
    {"fixed", "the same clients in every round", fixed_keys},
    {"round_robin", "as many as the fraction says, those that follow the last round's", {}},
    {"trace", "as many as the fraction says of those that a file says are there, all equally likely", trace_keys},
};

constexpr OptionSpec bf16_keys[] = {
    {"rounding", OptionType::string, "nearest",
     "nearest: ties to even; stochastic: up or down at random, right in the mean", -unbounded, unbounded,
     "nearest|stochastic"},
};

constexpr OptionSpec int8_keys[] = {
    {"block_size", OptionType::integer, "64", "numbers that share a scale", 8, 1 << 20},
};

constexpr OptionSpec top_k_keys[] = {
    {"fraction", OptionType::number, "0.01", "of the numbers, at least one", smallest_fraction, 1},
    {"error_feedback", OptionType::boolean, "true",
     "what a client has not sent is added to what it sends in its next round; each keeps one number a parameter"},
};

constexpr JobRule compressions[] = {
    {"none", "every number as it is: 4 bytes", {}},
    {"bf16", "the upper half of every number: 2 bytes", bf16_keys},
    {"int8", "1 byte a number, rounded up or down at random, right in the mean; 4 bytes a block for its scale",
     int8_keys},
    {"top_k", "the numbers of largest magnitude and where they stand, 8 bytes each; 0 for the others", top_k_keys},
};

constexpr JobRules rules[] = {
    {"data", "partition", partitions},
    {"federation", "sampling", samplings},
    {"federation", "compression", compressions},
};

}  // namespace

std::span<const JobRules> job_rules() {
  return rules;
}

}  // namespace fedmpi
