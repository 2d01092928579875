#pragma once

#include "fedmpi/export.hpp"

#include <filesystem>
#include <string_view>

namespace fedmpi {

// Puts a file with these bytes in the place of `path`, whole and on disk, or throws, leaves `path` as it was and
// nothing beside it: Error when the disk is full or fails, otherwise FileError.
FEDMPI_API void write_whole_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace fedmpi
