#include "update_spool.hpp"

#include "fedmpi/error.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

#include <ATen/ATen.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace fedmpi {

namespace {

[[noreturn]] void fail(const char* what) {
  const std::string reason = std::generic_category().message(errno);
  throw Error(fmt::format("the updates of a round could not be {} in {}: {}; name a directory with room in TMPDIR",
                          what, std::filesystem::temp_directory_path().string(), reason));
}

int open_nameless() {
  std::string path = (std::filesystem::temp_directory_path() / "fedmpi-updates-XXXXXX").string();
  const int file = ::mkostemp(path.data(), O_CLOEXEC);
  if (file < 0) fail("kept");
  ::unlink(path.c_str());
  return file;
}

}  // namespace

UpdateSpool::UpdateSpool(std::int64_t size) : size_{size} {}

UpdateSpool::~UpdateSpool() {
  if (file_ >= 0) ::close(file_);
}

void UpdateSpool::clear() {
  num_updates_ = 0;
  if (file_ >= 0 && ::ftruncate(file_, 0) != 0) fail("cleared");
}

void UpdateSpool::append(const at::Tensor& update) {
  if (!at::isfinite(update).all().item<bool>())
    throw Error(
        "the update holds an element that is not finite: lower training.learning_rate or set "
        "training.max_gradient_norm");
  if (file_ < 0) file_ = open_nameless();
  const auto* bytes = static_cast<const char*>(update.const_data_ptr());
  const std::int64_t total = size_ * static_cast<std::int64_t>(sizeof(float)), begin = num_updates_ * total;
  for (std::int64_t done = 0; done < total;) {
    const ssize_t written = ::pwrite(file_, bytes + done, static_cast<std::size_t>(total - done), begin + done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("kept");
    done += written;
  }
  ++num_updates_;
}

void UpdateSpool::read(std::int64_t index, std::int64_t begin, std::int64_t length, float* out) const {
  const auto width = static_cast<std::int64_t>(sizeof(float));
  auto* bytes = reinterpret_cast<char*>(out);
  const std::int64_t first = (index * size_ + begin) * width;
  for (std::int64_t done = 0; done < length * width;) {
    const ssize_t got = ::pread(file_, bytes + done, static_cast<std::size_t>(length * width - done), first + done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail("read");
    done += got;
  }
}

}  // namespace fedmpi
