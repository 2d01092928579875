#pragma once

#include "fedmpi/communicator.hpp"
#include "node_group.hpp"

#include <mpi.h>

namespace fedmpi {

struct Communicator::Handle {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm leaders = MPI_COMM_NULL;  // of nodes, once it is needed
  bool has_leaders = false;
  NodeStore store;
};

}  // namespace fedmpi
