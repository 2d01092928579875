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

// A function of the job and the dataset's content: every rank computes the same. "iid": all examples are shuffled by
// the seed and cut into contiguous parts whose sizes differ by at most one (flwr-datasets' IidPartitioner on a
// shuffled dataset), of which a client uses the first train_/test_examples_per_client. ConfigError when there are not
// enough examples.
FEDMPI_API Partition make_partition(const Job& job, const Dataset& dataset);

// How much work each client's training examples are (Dataset::lengths), in the order of `clients`.
FEDMPI_API std::vector<std::int64_t> training_costs(const Partition& partition, const Dataset& dataset,
                                                    std::span<const std::int64_t> clients);

// Shows the model the examples of `partition`, or the share of them that falls to rank `rank` of `size`. Throws what
// Model::check throws.
FEDMPI_API void check_examples(const Model& model, const Dataset& dataset, const Partition& partition, int rank,
                               int size);

}  // namespace fedmpi
