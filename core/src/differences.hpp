#pragma once

#include "fedmpi/checkpoint.hpp"
#include "fedmpi/experiment.hpp"
#include "fedmpi/export.hpp"

#include <map>
#include <string>
#include <vector>

namespace fedmpi {

// The dotted keys in which two resolved jobs differ and which change what is computed: not run.name, run.output,
// run.threads, run.plugins, run.max_seconds, federation.frozen_rank_seconds, federation.transport* nor [checkpoint];
// run.rounds only when the learning rate depends on it.
FEDMPI_API std::vector<std::string> differing_keys(const std::string& job, const std::string& other);

// The dotted keys of a resolved job that change what is computed, as above, with their values in TOML.
FEDMPI_API std::map<std::string, std::string> result_keys(const std::string& job);

// A digest of all that a client's update depends on besides the round and its parameters: those keys, the dataset, the
// model and the versions.
FEDMPI_API std::string fingerprint(const Experiment& experiment);

// The names (Checkpoint::versions) under which two machines or builds differ.
FEDMPI_API std::vector<std::string> differing_versions(const std::map<std::string, std::string>& versions,
                                                       const std::map<std::string, std::string>& other);

// What differs between an experiment and the one that a checkpoint was made by.
struct Differences {
  std::vector<std::string> keys;      // of the job
  bool dataset = false;               // its content
  bool layout = false;                // names, shapes or roles of the model's tensors
  bool model = false;                 // its configuration
  std::vector<std::string> versions;  // names of libraries, instruction set and plugins
};
FEDMPI_API Differences differences(const Experiment& experiment, const Checkpoint& checkpoint);

}  // namespace fedmpi
