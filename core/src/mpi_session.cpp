#include "fedmpi/communicator.hpp"

#include <cstdlib>
#include <exception>

#include <mpi.h>

namespace fedmpi {

MpiSession::MpiSession(int& argc, char**& argv) {
  int provided = 0;
  if (MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
    throw Error("MPI could not be initialised: is the program started by the mpirun of the MPI it was built with?");
  if (provided < MPI_THREAD_FUNNELED) throw Error("this MPI does not allow threads beside the one that calls it");
}

MpiSession::~MpiSession() {
  if (std::uncaught_exceptions() == 0) MPI_Finalize();
}

void MpiSession::abort(int status) noexcept {
  int initialised = 0, finalised = 0;
  MPI_Initialized(&initialised);
  MPI_Finalized(&finalised);
  if (initialised != 0 && finalised == 0) MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}

}  // namespace fedmpi
