#include "gzip_file.hpp"

#include "fedmpi/error.hpp"

#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace fedmpi {
namespace {

constexpr std::size_t block_bytes = 1 << 18;
constexpr std::int64_t max_expanded_bytes = std::int64_t{8} << 30;  // the real archive has a fifth of a GB

}  // namespace

GzipFile::GzipFile(std::filesystem::path path)
    : path_{std::move(path)}, file_{gzopen(path_.c_str(), "rb")}, block_(block_bytes) {
  std::error_code error;
  size_ = static_cast<std::int64_t>(std::filesystem::file_size(path_, error));
  if (!file_ || error) throw FileError(fmt::format("{}: the archive cannot be opened", path_.string()), path_);
  gzbuffer(file_.get(), block_bytes);
  if (gzdirect(file_.get()) != 0) {
    throw FileError(fmt::format("{}: not a gzip file; give the .tar.gz or the extracted directory", path_.string()),
                    path_);
  }
}

std::string_view GzipFile::read() {
  const int count = gzread(file_.get(), block_.data(), static_cast<unsigned>(block_.size()));
  int status = Z_OK;
  const char* reason = gzerror(file_.get(), &status);
  if (count < 0 || status != Z_OK) {
    throw FileError(fmt::format("{}: the archive is damaged or incomplete ({}); fetch it again", path_.string(),
                                status == Z_ERRNO ? "it cannot be read" : reason),
                    path_);
  }
  expanded_ += count;
  if (expanded_ > max_expanded_bytes) {
    throw FileError(fmt::format("{}: expands to more than 8 GB; is this the right archive?", path_.string()), path_);
  }
  return {block_.data(), static_cast<std::size_t>(count)};
}

std::int64_t GzipFile::bytes_read() const {
  return gzoffset(file_.get());
}

}  // namespace fedmpi
