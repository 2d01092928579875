#include "mpi_calls.hpp"

#include "fedmpi/communicator.hpp"
#include "ulfm.hpp"

#include <algorithm>
#include <string>

namespace fedmpi {

namespace {

// An `int` count and some libraries' own byte counts end at 2^31.
constexpr std::int64_t max_message_bytes = std::int64_t{1} << 30;
// Open MPI's reduce is several times faster on pieces that stay in the cache than on one long buffer.
constexpr std::int64_t reduce_piece = std::int64_t{1} << 17;

}  // namespace

void check_mpi(int result, const char* call) {
  if (result == MPI_SUCCESS) return;
  if (ulfm::is_loss(result)) throw RankLost{};
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(result, text, &length);
  throw Error(std::string(call) + " failed: " + text);
}

void broadcast_bytes(void* bytes, std::int64_t count, MPI_Comm comm) {
  for (std::int64_t begin = 0; begin < count; begin += max_message_bytes)
    FEDMPI_MPI(MPI_Bcast, static_cast<char*>(bytes) + begin,
               static_cast<int>(std::min(max_message_bytes, count - begin)), MPI_BYTE, 0, comm);
}

void reduce_words(std::int64_t* words, std::int64_t count, MPI_Comm comm) {
  int rank = 0;
  FEDMPI_MPI(MPI_Comm_rank, comm, &rank);
  for (std::int64_t begin = 0; begin < count; begin += reduce_piece) {
    const void* send = rank == 0 ? MPI_IN_PLACE : static_cast<const void*>(words + begin);
    FEDMPI_MPI(MPI_Reduce, send, rank == 0 ? words + begin : nullptr,
               static_cast<int>(std::min(reduce_piece, count - begin)), MPI_INT64_T, MPI_SUM, 0, comm);
  }
}

}  // namespace fedmpi
