#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/export.hpp"
#include "partition.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

// What a client has.
struct ClientStatistics {
  std::int64_t train_examples = 0, test_examples = 0;
  std::int64_t tokens = 0;                      // of its train examples; Dataset::lengths
  std::map<std::int64_t, std::int64_t> labels;  // how many train examples have a label; those that some have
};

FEDMPI_API std::vector<ClientStatistics> partition_statistics(const Partition& partition, const Dataset& dataset);

// For people: a line a client, of many clients the first twelve, and a line about all of them.
FEDMPI_API std::string statistics_table(std::span<const ClientStatistics> clients, std::int64_t train_size);

// For programs, the content of partition.json: {"clients": [{"client": 0, "train_examples": 5, "test_examples": 2,
// "tokens": 80, "labels": {"0": 4, "1": 1}}, ...]}, a line a client.
FEDMPI_API std::string statistics_json(std::span<const ClientStatistics> clients);

// The clients of such a text. Error for any other: what was not understood.
FEDMPI_API std::vector<ClientStatistics> statistics_from_json(const std::string& text);

}  // namespace fedmpi
