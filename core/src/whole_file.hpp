#pragma once

#include "fedmpi/export.hpp"

#include <filesystem>
#include <span>
#include <string_view>

namespace fedmpi {

// Puts a file with these bytes in the place of `path`, whole and on disk, or throws, leaves `path` as it was and
// nothing beside it: Error when the disk is full or fails, otherwise FileError.
FEDMPI_API void write_whole_file(const std::filesystem::path& path, std::string_view bytes);

// The same in two parts, for many files of which few will count: whole for every process from now on, but after a crash
// of the machine only once sync_files has returned, which takes files of one directory. Errors: as above.
FEDMPI_API void place_whole_file(const std::filesystem::path& path, std::string_view bytes);
FEDMPI_API void sync_files(std::span<const std::filesystem::path> paths);

}  // namespace fedmpi
