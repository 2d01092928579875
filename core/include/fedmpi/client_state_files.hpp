#pragma once

#include "fedmpi/checkpoint.hpp"
#include "fedmpi/export.hpp"

#include <filesystem>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// The files with what clients keep that a run going on from the checkpoint in `path` needs, whether they are there or
// not; one for each client that was fitted, none where clients keep nothing. Error for a table that is none.
FEDMPI_API std::vector<std::filesystem::path> client_state_files(const Checkpoint& checkpoint,
                                                                 const std::filesystem::path& path);

// What such a file holds, float32 [any]. FileError when it cannot be read or does not match its digest.
FEDMPI_API at::Tensor load_client_state(const std::filesystem::path& path);

}  // namespace fedmpi
