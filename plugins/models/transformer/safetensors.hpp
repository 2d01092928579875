#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace fedmpi {

// A safetensors file in memory. Everything its header says is checked against the file before it is used: a file
// from the network is not trusted. Every complaint is a FileError.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  bool contains(const std::string& name) const { return entries_.contains(name); }

  // Writes the tensor to `out` as float32. It must have this shape and be stored as F32, F16 or BF16.
  void read(const std::string& name, const std::vector<std::int64_t>& shape, float* out) const;

 private:
  struct Entry {
    std::string type;
    std::vector<std::int64_t> shape;
    std::size_t begin;  // in bytes from the end of the header
    std::size_t end;
  };
  [[noreturn]] void fail(const std::string& what) const;
  void parse_header();
  void check_coverage() const;

  std::filesystem::path path_;
  const std::byte* bytes_ = nullptr;
  std::size_t size_ = 0;
  std::size_t data_begin_ = 0;
  std::map<std::string, Entry> entries_;
};

}  // namespace fedmpi
