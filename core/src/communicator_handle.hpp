#pragma once

#include "fedmpi/communicator.hpp"
#include "fedmpi/transport.hpp"
#include "node_group.hpp"

#include <mpi.h>

namespace fedmpi {

// What carries buffers that lie on `device`.
struct CarrierState {
  std::shared_ptr<Transport> carrier = {};  // none: MPI
  at::Device device = at::kCPU;
  double join_seconds = 0.0;
  bool has_joined = false;  // with all ranks there are now
};

struct Communicator::Handle {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm leaders = MPI_COMM_NULL;  // of nodes, once it is needed
  bool has_leaders = false;
  NodeStore store;
  CarrierState transport;
};

}  // namespace fedmpi
