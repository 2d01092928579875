#include "directory_lock.hpp"

#include "fedmpi/log.hpp"
#include "file_error.hpp"

#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

namespace fedmpi {

DirectoryLock::DirectoryLock(const std::filesystem::path& directory, std::chrono::seconds patience)
    : descriptor_{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)} {
  using Clock = std::chrono::steady_clock;
  if (descriptor_ < 0) throw file_error(directory, "cannot be opened: " + errno_message());
  const auto is_held_by_another = [this] {
    return ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  };
  if (!is_held_by_another()) return;
  if (patience.count() > 0)
    log(LogLevel::warning, fmt::format("{}: another run is still writing there: waiting up to {} s for its end",
                                       directory.string(), patience.count()));
  for (const auto end = Clock::now() + patience; Clock::now() < end;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (!is_held_by_another()) return;
  }
  ::close(descriptor_);
  throw file_error(directory,
                   "another run is writing there: wait for its end, or choose another directory with --output");
}

DirectoryLock::~DirectoryLock() {
  ::close(descriptor_);
}

}  // namespace fedmpi
