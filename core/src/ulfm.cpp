#include "ulfm.hpp"

#include <cstdlib>
#include <string_view>

#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

namespace fedmpi::ulfm {

#ifdef OMPI_HAVE_MPI_EXT_FTMPI

bool is_loss(int error) {
  int error_class = MPI_SUCCESS;
  MPI_Error_class(error, &error_class);
  return error_class == MPIX_ERR_PROC_FAILED || error_class == MPIX_ERR_PROC_FAILED_PENDING ||
         error_class == MPIX_ERR_REVOKED;
}

void revoke(MPI_Comm comm) {
  MPIX_Comm_revoke(comm);
}

int agree(MPI_Comm comm, int bits) {
  MPIX_Comm_agree(comm, &bits);  // an error only says that somebody has died meanwhile
  return bits;
}

MPI_Comm shrink(MPI_Comm comm) {
  MPI_Comm smaller = MPI_COMM_NULL;
  return MPIX_Comm_shrink(comm, &smaller) == MPI_SUCCESS ? smaller : MPI_COMM_NULL;
}

bool is_on() {
  const char* enabled = std::getenv("OMPI_MCA_mpi_ft_enable");
  return enabled != nullptr && (std::string_view(enabled) == "1" || std::string_view(enabled) == "true");
}

#else

bool is_loss(int) {
  return false;
}
void revoke(MPI_Comm) {}
int agree(MPI_Comm, int bits) {
  return bits;
}
MPI_Comm shrink(MPI_Comm) {
  return MPI_COMM_NULL;
}
bool is_on() {
  return false;
}

#endif

}  // namespace fedmpi::ulfm
