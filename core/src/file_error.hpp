#pragma once

#include "fedmpi/error.hpp"

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

namespace fedmpi {

// "PATH: what is wrong".
inline FileError file_error(const std::filesystem::path& path, const std::string& what) {
  return FileError(path.string() + ": " + what, path);
}

inline std::string errno_message() {
  return std::generic_category().message(errno);
}

}  // namespace fedmpi
