#pragma once

#include "fedmpi/experiment.hpp"

#include <string>
#include <vector>

namespace fedmpi {

// Four clients that share 203 made-up examples for a logistic model with the shipped plugins, and 40 to test with.
// `settings`: as of --set; later ones count.
inline Job small_job(const std::vector<std::string>& settings) {
  return parse_job(R"([run]
name = "test"
plugins = [")" FEDMPI_BUILT_PLUGINS R"("]
[federation]
clients = 4
[model]
name = "logistic"
[data]
name = "synthetic"
train_examples = 203
test_examples = 40
[training]
batch_size = 16
learning_rate = 0.1
)",
                   "test.toml", settings);
}

inline Experiment small_experiment(std::vector<std::string> first, const std::vector<std::string>& settings) {
  first.insert(first.end(), settings.begin(), settings.end());
  return load_experiment(small_job(first));
}

}  // namespace fedmpi
