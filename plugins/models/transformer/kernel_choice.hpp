#pragma once

#include "vector_kernels.hpp"

#include <string>
#include <vector>

namespace fedmpi {

struct NamedKernels {
  std::string name;
  const KernelTables* tables;
};

// Every table that this processor can run, the best first.
std::vector<NamedKernels> runnable_kernels();

}  // namespace fedmpi
