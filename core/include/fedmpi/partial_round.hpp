#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/strategy.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// What a rank has of a round that is not over.
struct PartialRound {
  int round = 0;
  std::string origin;              // a digest of all that decides what a client's update is
  std::vector<FitRecord> records;  // of the clients in `sum`, at least one
  at::Tensor sum;                  // of weight * update, int64 [layout.shared_size()]; see FixedPointSum
};

// Whole or not at all (see Hdf5Writer). FileError when it cannot be written (Error when the disk is full or fails) or
// read or its content does not match its digests.
FEDMPI_API void save_partial_round(const std::filesystem::path& path, const PartialRound& partial);
FEDMPI_API PartialRound load_partial_round(const std::filesystem::path& path);

}  // namespace fedmpi
