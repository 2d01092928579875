#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"

#include <map>
#include <string>

#include <c10/core/Device.h>

namespace fedmpi {

// The device that run.device means on the rank with this number among those of its node: the ranks of a node take its
// GPUs in turn. Loads what LibTorch needs for it and makes its results a function of what is computed alone: kernels
// that add in no fixed order are refused, and so are narrower formats than were asked for. UserError when this LibTorch
// or this node has none. Main thread. All jobs of a process are to ask for the same kind: LibTorch finds out once
// whether there are GPUs, and what is set here holds for the CPU too.
FEDMPI_API at::Device open_device(DeviceKind kind, int place_on_node);

// What results may depend on besides: empty for a CPU, which library_versions() tells of.
FEDMPI_API std::map<std::string, std::string> device_versions(at::Device device);

}  // namespace fedmpi
