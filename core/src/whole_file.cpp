#include "whole_file.hpp"

#include "file_error.hpp"

#include <string>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace fedmpi {

namespace {

class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags)
      : descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  bool valid() const { return descriptor_ >= 0; }
  bool sync() const { return ::fsync(descriptor_) == 0; }
  bool close() {
    const bool closed = descriptor_ < 0 || ::close(descriptor_) == 0;
    descriptor_ = -1;
    return closed;
  }
  bool write(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
  }
  bool link(const std::filesystem::path& name) const {
    const std::string self = fmt::format("/proc/self/fd/{}", descriptor_);
    return ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
  }

 private:
  int descriptor_;
};

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : ".";
}

bool write_and_rename(const std::filesystem::path& temporary, const std::filesystem::path& path, std::string_view bytes,
                      bool sync) {
  // A file without a name leaves nothing half-written, whatever ends the process. Not every file system has them.
  Descriptor unnamed(directory_of(path), O_WRONLY | O_TMPFILE);
  if (unnamed.valid()) {
    if (!unnamed.write(bytes) || (sync && !unnamed.sync())) return false;
    if (unnamed.link(path)) return unnamed.close();
    ::unlink(temporary.c_str());  // of another process that had this number
    if (unnamed.link(temporary)) return unnamed.close() && ::rename(temporary.c_str(), path.c_str()) == 0;
  }
  Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  return file.valid() && file.write(bytes) && (!sync || file.sync()) && file.close() &&
         ::rename(temporary.c_str(), path.c_str()) == 0;
}

[[noreturn]] void fail(const std::filesystem::path& path, int error) {
  errno = error;
  const FileError failure = file_error(path, "could not be written: " + errno_message());
  // Not the user's mistake: the disk is full, or it fails.
  if (error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO) throw Error(failure.what());
  throw failure;
}

void place(const std::filesystem::path& path, std::string_view bytes, bool sync) {
  const std::filesystem::path temporary = path.string() + fmt::format(".tmp.{}", ::getpid());
  if (write_and_rename(temporary, path, bytes, sync)) return;
  const int error = errno;
  ::unlink(temporary.c_str());
  fail(path, error);
}

void sync_directory_of(const std::filesystem::path& path) {
  const Descriptor entry(directory_of(path), O_RDONLY | O_DIRECTORY);
  if (!entry.valid() || !entry.sync()) {
    throw file_error(path, "is in place but may not outlive a crash of the machine: " + errno_message());
  }
}

}  // namespace

void write_whole_file(const std::filesystem::path& path, std::string_view bytes) {
  place(path, bytes, true);
  sync_directory_of(path);
}

void place_whole_file(const std::filesystem::path& path, std::string_view bytes) {
  place(path, bytes, false);
}

void sync_files(std::span<const std::filesystem::path> paths) {
  for (const std::filesystem::path& path : paths) {
    const Descriptor file(path, O_RDONLY);
    if (!file.valid() || !file.sync()) fail(path, errno);
  }
  if (!paths.empty()) sync_directory_of(paths.front());
}

}  // namespace fedmpi
