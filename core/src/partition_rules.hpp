#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/random.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fedmpi {

// The rules of [data.partition] one by one; partition.hpp says what becomes of their parts. Functions of their
// arguments. Errors: ConfigError where the job asks for what the dataset does not have, FileError for a file of
// indices.

using Parts = std::vector<std::vector<std::int64_t>>;  // [client], of examples by index into a split

// Different streams of the partition's key. Values are part of what makes a run reproducible: never renumber.
enum class PartitionStream : std::uint64_t { train_order = 0, test_order = 1, rule = 2, train_mix = 3, test_mix = 4 };
RandomKey partition_key(const Job& job, PartitionStream stream);

// The examples of a split, shuffled by the seed.
std::vector<std::int64_t> shuffled_split(const Job& job, const Dataset& dataset, Split split);

// Shuffles each part: what a rule deals out label by label is no longer in the order of labels.
void mix(Parts& parts, RandomKey key);

// `order` by label, [label].
Parts by_label(std::span<const std::int64_t> order, const Dataset& dataset, Split split);

// Of a list that holds one value for each of `count` things, or one for all of them; `things` is for the error.
template <class T>
std::vector<T> one_for_each(const RuleChoice& rule, const std::string& key, std::int64_t count, const char* things);

// 'partition_sizes', one for each client, as far as there are examples.
std::vector<std::int64_t> given_sizes(const Job& job, const Dataset& dataset);

// sizes, linear, square, exponential: contiguous parts of the shuffled train split.
Parts sized_parts(const Job& job, const Dataset& dataset);

// By labels: dirichlet, inner_dirichlet, pathological, shards, of the train split.
Parts dirichlet_parts(const Job& job, const Dataset& dataset);
Parts inner_dirichlet_parts(const Job& job, const Dataset& dataset);
Parts pathological_parts(const Job& job, const Dataset& dataset);
Parts shard_parts(const Job& job, const Dataset& dataset);

// Of the test split: of each label a client gets the share that it has of the train examples of that label, so that its
// test examples follow the distribution of its own labels.
Parts mirrored_parts(const Job& job, const Dataset& dataset, const Parts& train);

// natural_id, grouped_natural_id: each client's natural ids are those of the train split, whatever the split.
Parts natural_parts(const Job& job, const Dataset& dataset, Split split);

// indices: what the file says, in its order.
struct IndexedParts {
  Parts train;
  std::optional<Parts> test;
};
IndexedParts indexed_parts(const Job& job, const Dataset& dataset);

}  // namespace fedmpi
