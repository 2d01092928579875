#pragma once

#include "fedmpi/federation.hpp"

namespace fedmpi {

// The exit status of a run that was stopped by a signal or for lack of time and can be resumed.
inline constexpr int stopped_status = 3;

// Initialises MPI, runs the request on this rank and ends MPI in order, also when all ranks agreed on an error. Returns
// the exit status.
int launch(const RunRequest& request, int& argc, char**& argv);

}  // namespace fedmpi
