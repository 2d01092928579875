#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/model.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace fedmpi {

// Which examples belong to whom, by index into the dataset's splits.
struct Partition {
  std::vector<std::vector<std::int64_t>> train;  // [client]
  std::vector<std::vector<std::int64_t>> test;   // [client]; empty lists when there is no federated evaluation
  std::vector<std::int64_t> central;             // of the test split; empty without central evaluation
};

// A function of the job and the dataset's content: every rank computes the same. No example belongs to two clients.
//
// "iid": all examples of a split are shuffled by the seed and cut into contiguous parts whose sizes differ by at most
// one (flwr-datasets' IidPartitioner on a shuffled dataset), of which a client uses the first
// train_/test_examples_per_client. ConfigError when there are not enough examples.
//
// The other rules (job_rules) divide the train split as flwr-datasets' partitioners do, into parts of any size, of
// which a client uses the first train_examples_per_client, in an order drawn by the seed, or all it has when they are
// fewer. A client without a train example is a ConfigError that names it. The test split is divided after the train
// split, so that a client is tested on what is like its own data:
// - natural ids: a client has the test examples of its own ids;
// - "indices": what the file says, where it has lists for the test split;
// - otherwise of each label a client gets the share that it has of the train examples of that label.
// There a client may be left without a test example (it then has no part in federated evaluation); it is a ConfigError
// when all are.
FEDMPI_API Partition make_partition(const Job& job, const Dataset& dataset);

// How much work each client's training examples are (Dataset::lengths), in the order of `clients`.
FEDMPI_API std::vector<std::int64_t> training_costs(const Partition& partition, const Dataset& dataset,
                                                    std::span<const std::int64_t> clients);

// Shows the model the examples of `partition`, or the share of them that falls to rank `rank` of `size`. Throws what
// Model::check throws.
FEDMPI_API void check_examples(const Model& model, const Dataset& dataset, const Partition& partition, int rank,
                               int size);

}  // namespace fedmpi
