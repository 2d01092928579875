#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/export.hpp"

#include <filesystem>
#include <string>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// A file of dense examples, which anybody may write: the datasets /features, /labels and perhaps /keys of
// data/README.md.
struct ArrayShard {
  at::Tensor features;  // float32 or uint8 [n, ...], 2-D to 4-D, finite
  at::Tensor labels;    // int64 [n], each in 0..999,999; undefined for regression
  at::Tensor targets;   // float32 [n], finite; for regression
  at::Tensor keys;      // int64 [n], whose the examples are, or undefined
};

// Checks all of that; the file needs no attributes. The labels must be whole numbers, for regression whole or floating
// ones. Throws FileError.
FEDMPI_API ArrayShard read_array_shard(const std::filesystem::path& path, Task task);

// Hash of the content, types and shapes included.
FEDMPI_API std::string digest(const ArrayShard& shard);

}  // namespace fedmpi
