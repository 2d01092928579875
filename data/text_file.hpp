#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace fedmpi {

// A file of UTF-8 read from start to end, a byte at a time and with the number of the line; a byte order mark at its
// start is passed over. Throws FileError for a file that is missing, cannot be read or begins like UTF-16.
class TextFile {
 public:
  static constexpr int end = -1;
  explicit TextFile(std::filesystem::path path);

  int peek() { return next_ < block_.size() || fill() ? static_cast<unsigned char>(block_[next_]) : end; }
  int get() {
    const int byte = peek();
    if (byte == end) return end;
    ++next_;
    if (byte == '\n') ++line_;
    return byte;
  }

  const std::filesystem::path& path() const { return path_; }
  std::int64_t line() const { return line_; }  // of the next byte, from 1
  std::int64_t size() const { return size_; }
  std::int64_t bytes_read() const { return before_block_ + static_cast<std::int64_t>(next_); }

  // Throws FileError "PATH:LINE: WHAT".
  [[noreturn]] void fail(std::int64_t line, const std::string& what) const;

 private:
  bool fill();

  std::filesystem::path path_;
  std::ifstream file_;
  std::string block_;
  std::size_t next_ = 0;
  std::int64_t before_block_ = 0, size_ = 0, line_ = 1;
};

}  // namespace fedmpi
