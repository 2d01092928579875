#include "directory_lock.hpp"

#include "file_error.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace fedmpi {

DirectoryLock::DirectoryLock(const std::filesystem::path& directory)
    : descriptor_{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)} {
  if (descriptor_ < 0) throw file_error(directory, "cannot be opened: " + errno_message());
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  throw file_error(directory,
                   "another run is writing there: wait for its end, or choose another directory with --output");
}

DirectoryLock::~DirectoryLock() {
  ::close(descriptor_);
}

}  // namespace fedmpi
