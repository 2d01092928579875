#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include <stdlib.h>
#include <unistd.h>

namespace fedmpi {

inline std::string_view text_of(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// For readers that take a path: a new file in the directory for temporary ones. (HDF5 does not open one that lies in
// memory and has no name.)
class InputFile {
 public:
  explicit InputFile(std::string_view bytes) : path_(std::filesystem::temp_directory_path() / "fedmpi-fuzz-XXXXXX") {
    std::string name = path_.string();
    const int file = ::mkstemp(name.data());
    path_ = name;
    if (file < 0 || ::write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      throw std::runtime_error("the input could not be written");
    }
    ::close(file);
  }
  ~InputFile() { ::unlink(path_.c_str()); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// What a target has found to be wrong ends it.
inline void require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

}  // namespace fedmpi
