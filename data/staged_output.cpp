#include "staged_output.hpp"

#include "fedmpi/error.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

namespace fedmpi {
namespace {

[[noreturn]] void fail_writing(const std::filesystem::path& path, const std::string& reason) {
  throw FileError(fmt::format("{}: cannot be written ({}); choose another output directory", path.string(), reason),
                  path);
}

// A file or a directory.
void sync(const std::filesystem::path& path) {
  const int handle = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0) fail_writing(path, std::generic_category().message(errno));
  const int status = ::fsync(handle);
  const int error = errno;
  ::close(handle);
  if (status != 0 && error != EINVAL) fail_writing(path, std::generic_category().message(error));
}

bool is_shard(const std::filesystem::path& file) {
  const std::string stem = file.stem().string();
  if (file.extension() != ".h5") return false;
  return stem == "train" || stem == "test" || stem.starts_with("train-") || stem.starts_with("test-");
}

}  // namespace

StagedOutput::StagedOutput(std::filesystem::path directory, Refused refused)
    : directory_{std::move(directory)}, refused_{refused} {
  if (!directory_.has_filename()) directory_ = directory_.parent_path();
  refuse();
  try {
    make_directory();
    std::string pattern = (directory_ / ".unfinished-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) fail_writing(directory_, std::generic_category().message(errno));
    staging_ = pattern;
  } catch (...) {
    remove_directories();
    throw;
  }
}

StagedOutput::~StagedOutput() {
  std::error_code ignored;
  for (const auto& file : moved_) std::filesystem::remove(file, ignored);
  std::filesystem::remove_all(staging_, ignored);
  remove_directories();
}

void StagedOutput::commit(const std::vector<std::string>& names) {
  refuse();
  for (const std::string& name : names) sync(staging_ / name);
  for (const std::string& name : names) {
    std::error_code error;
    std::filesystem::rename(staging_ / name, directory_ / name, error);
    if (error) fail_writing(directory_ / name, error.message());
    moved_.push_back(directory_ / name);
  }
  sync(directory_);
  moved_.clear();
  made_.clear();
}

void StagedOutput::refuse() const {
  std::error_code error;
  if (!std::filesystem::exists(directory_, error)) return;
  const auto entries = std::filesystem::directory_iterator(directory_, error);
  if (error) fail_writing(directory_, error.message());
  const auto found = std::find_if(begin(entries), end(entries), [this](const auto& entry) {
    return refused_ == Refused::anything ? entry.path() != staging_ : is_shard(entry);
  });
  if (found == end(entries)) return;
  throw UserError(fmt::format("{}: holds {} already; {}", directory_.string(), found->path().filename().string(),
                              refused_ == Refused::anything
                                  ? "give a directory that is empty or that does not exist yet"
                                  : "remove the shards there or choose another output directory"));
}

void StagedOutput::make_directory() {
  std::vector<std::filesystem::path> missing;
  std::error_code error;
  for (auto path = directory_; !path.empty() && !std::filesystem::exists(path, error); path = path.parent_path()) {
    missing.push_back(path);
  }
  for (auto path = missing.rbegin(); path != missing.rend(); ++path) {
    std::filesystem::create_directory(*path, error);
    if (error) fail_writing(*path, error.message());
    made_.push_back(*path);
  }
}

// Only empty ones: what others have put there meanwhile stays.
void StagedOutput::remove_directories() noexcept {
  for (auto path = made_.rbegin(); path != made_.rend(); ++path) ::rmdir(path->c_str());
}

}  // namespace fedmpi
