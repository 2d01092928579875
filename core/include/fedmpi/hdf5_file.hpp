#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

namespace hdf5 {
class Image;
}

// A thin, owning layer over HDF5's C API: tensors as datasets, strings and numbers as attributes. Each object is for
// one thread at a time; different ones may be used by different threads. Files are untrusted: only the dataset types
// below, no external or soft links, no filters beyond shuffle, deflate and fletcher32, sizes checked against the file
// before memory is asked for. HDF5 itself does not survive every file: read_shard and load_checkpoint try it in a child
// process first. Every error names the file and the dataset: a FileError, or an Error when the disk is full or fails.
class FEDMPI_API Hdf5Reader {
 public:
  explicit Hdf5Reader(const std::filesystem::path& path);
  ~Hdf5Reader();
  Hdf5Reader(const Hdf5Reader&) = delete;
  Hdf5Reader& operator=(const Hdf5Reader&) = delete;

  bool has(const std::string& name) const;                           // dataset or group
  std::vector<std::string> members(const std::string& group) const;  // sorted
  // uint8, uint16 (as int32), int32, int64, float32 or float64, 1-D to 4-D.
  at::Tensor read(const std::string& name) const;
  std::vector<std::string> attributes(const std::string& object) const;  // names, sorted
  bool has_attribute(const std::string& object, const std::string& name) const;
  std::string read_string(const std::string& object, const std::string& name) const;    // attribute, UTF-8
  std::int64_t read_integer(const std::string& object, const std::string& name) const;  // attribute
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::int64_t file_ = -1;
};

// Builds the file in memory; commit() writes it beside `path` and puts it in its place: flushed, synced, renamed,
// directory synced. Until then, and after an error, `path` is as it was and nothing is left beside it.
class FEDMPI_API Hdf5Writer {
 public:
  explicit Hdf5Writer(std::filesystem::path path);
  ~Hdf5Writer();
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  // Parent groups are made as needed. `checksummed` stores in chunks with fletcher32 (detects rot when read).
  void write(const std::string& name, const at::Tensor& tensor, bool checksummed = true);
  void write_uint16(const std::string& name, const at::Tensor& int32_tensor);  // values must fit
  void write_string(const std::string& object, const std::string& name, const std::string& value);
  void write_integer(const std::string& object, const std::string& name, std::int64_t value);
  void commit();
  void place();  // instead of commit(): whole, but sure to be on disk only once somebody has synced it

 private:
  std::string_view finish();

  std::filesystem::path path_;
  std::unique_ptr<hdf5::Image> image_;
  std::int64_t file_ = -1;
};

}  // namespace fedmpi
