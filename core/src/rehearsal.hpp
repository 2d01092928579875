#pragma once

#include "fedmpi/export.hpp"

#include <filesystem>
#include <functional>

namespace fedmpi {

// Calls `read`, which reads the file `path` and may throw, in a child process. HDF5 is not made for hostile files: some
// crash it or keep it busy for ever. Such a file is a FileError here, before it can do that to this process. The child
// sees no thread but the caller's, so `read` must not start OpenMP's.
FEDMPI_API void rehearse(const std::filesystem::path& path, const std::function<void()>& read);

}  // namespace fedmpi
