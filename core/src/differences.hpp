#pragma once

#include "fedmpi/export.hpp"

#include <map>
#include <string>
#include <vector>

namespace fedmpi {

// The dotted keys in which two resolved jobs differ and which change what is computed: not run.name, run.output,
// run.threads, run.plugins, federation.transport nor [checkpoint]; run.rounds only when the learning rate depends on
// it.
FEDMPI_API std::vector<std::string> differing_keys(const std::string& job, const std::string& other);

// The names (Checkpoint::versions) under which two machines or builds differ.
FEDMPI_API std::vector<std::string> differing_versions(const std::map<std::string, std::string>& versions,
                                                       const std::map<std::string, std::string>& other);

}  // namespace fedmpi
