#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include <zlib.h>

namespace fedmpi {

// A gzip file read from start to end. Unlike libarchive's own filter it compares the checksums. Every error is a
// FileError that names the file.
class GzipFile {
 public:
  explicit GzipFile(std::filesystem::path path);

  // The next block, empty at the end of the file; valid until the next call.
  std::string_view read();

  std::int64_t size() const { return size_; }  // of the file
  std::int64_t bytes_read() const;             // of size()

 private:
  struct Close {
    void operator()(gzFile file) const { gzclose_r(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<gzFile_s, Close> file_;
  std::vector<char> block_;
  std::int64_t size_ = 0, expanded_ = 0;
};

}  // namespace fedmpi
