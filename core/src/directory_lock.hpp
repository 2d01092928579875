#pragma once

#include "fedmpi/export.hpp"

#include <chrono>
#include <filesystem>

namespace fedmpi {

// Holds a directory against every other DirectoryLock, of other processes too, until it goes or the process ends.
// Nothing is written. A file system without locks lets everybody in.
class FEDMPI_API DirectoryLock {
 public:
  // FileError when somebody else still holds it after so long; the wait is logged.
  explicit DirectoryLock(const std::filesystem::path& directory, std::chrono::seconds patience = {});
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace fedmpi
