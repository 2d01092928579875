#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>

#include <mpi.h>

namespace fedmpi {

// RankLost when a rank has died, Error naming the call for any other failure.
FEDMPI_API void check_mpi(int result, const char* call);

// From rank 0, of any length.
FEDMPI_API void broadcast_bytes(void* bytes, std::int64_t count, MPI_Comm comm);
// To rank 0, in place there; of any length.
FEDMPI_API void reduce_words(std::int64_t* words, std::int64_t count, MPI_Comm comm);

}  // namespace fedmpi

#define FEDMPI_MPI(function, ...) ::fedmpi::check_mpi(function(__VA_ARGS__), #function)
