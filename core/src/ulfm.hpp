#pragma once

#include <mpi.h>

// User-level failure mitigation (ULFM, the fault tolerance chapter proposed to the MPI forum): Open MPI 5 started with
// `mpirun --with-ft ulfm` reports the death of a rank as an error instead of ending the job. Where MPI does not have it
// no error is a loss, and the launcher ends the job.
namespace fedmpi::ulfm {

bool is_loss(int error);             // a rank has died, or another rank has revoked the communicator
void revoke(MPI_Comm comm);          // makes every call on it fail, on all ranks
int agree(MPI_Comm comm, int bits);  // bitwise and over the living; works on a revoked communicator
MPI_Comm shrink(MPI_Comm comm);      // of the living, in the same order; MPI_COMM_NULL when that failed
bool is_on();                        // whether the launcher was asked for it; before MPI is initialised too

}  // namespace fedmpi::ulfm
