#pragma once

#include "fedmpi/export.hpp"

#include <filesystem>

namespace fedmpi {

// The HDF5 files that a user of the program has.
enum class FileKind {
  text_shard,     // read_shard
  array_shard,    // read_array_shard
  checkpoint,     // load_checkpoint
  partial_round,  // load_partial_round
  client_state,   // load_client_state
};

// By what the file says of itself; its content is not checked. FileError, which says which files there are, for
// anything else.
FEDMPI_API FileKind file_kind(const std::filesystem::path& path);

}  // namespace fedmpi
