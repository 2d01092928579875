#pragma once

#include "fedmpi/export.hpp"

#include <string>
#include <vector>

namespace fedmpi {

// The dotted keys in which two resolved jobs differ and which change what is computed: not run.name, run.output,
// run.rounds, run.threads, run.plugins, federation.transport nor [checkpoint].
FEDMPI_API std::vector<std::string> differing_keys(const std::string& job, const std::string& other);

}  // namespace fedmpi
