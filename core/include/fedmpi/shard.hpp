#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// A file of tokenized examples. The schema is written down in data/README.md.
struct Shard {
  at::Tensor tokens;   // int32 [total]
  at::Tensor offsets;  // int64 [n + 1], from 0, ascending, the last one = total
  at::Tensor labels;   // int64 [n]
  at::Tensor keys;     // int64 [n], whose the examples are (a user's number), or undefined
  std::int64_t vocabulary_size = 0;
  std::int64_t num_labels = 0;
  std::string vocabulary_digest;
  std::map<std::string, std::string> provenance;  // source, texts_digest, max_tokens, tool_version, ...
};

// Whole or not at all (see Hdf5Writer). Throws FileError.
FEDMPI_API void write_shard(const std::filesystem::path& path, const Shard& shard);

// Checks everything the schema promises: offsets, token < vocabulary_size, label < num_labels. Throws FileError.
FEDMPI_API Shard read_shard(const std::filesystem::path& path);

// What the labels 0, 1, ... are called, where the provenance of a shard, read from `path`, has `label_names`, else
// empty. FileError when they are not a name of its own for each label.
FEDMPI_API std::vector<std::string> label_names(const Shard& shard, const std::filesystem::path& path);

// The shards of a split in `directory`, in order: SPLIT.h5 alone, or SPLIT-00000.h5, SPLIT-00001.h5, ... without a
// gap. Throws FileError naming what was looked for, and `advice`, when there is none.
FEDMPI_API std::vector<std::filesystem::path> find_shards(const std::filesystem::path& directory,
                                                          const std::string& split,
                                                          const std::string& advice = "make them with fedmpi prepare");

}  // namespace fedmpi
