#pragma once

#include "fedmpi/export.hpp"
#include "node_memory.hpp"

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>
#include <mpi.h>

namespace fedmpi {

// What a node's ranks keep from one collective to the next.
struct NodeStore {
  MappedMemory mapped;  // of each other's
  at::Tensor staging;   // the leader's
};

// The ranks of one node, in their part of a collective of all ranks on a buffer in node memory (zeros_on_node): within
// the node nothing but addresses and single bytes travel, each rank reads what the others have. Between nodes one rank
// of each, its leader, sends and receives a piece while the others work on the next. Errors: as Communicator's.
class FEDMPI_API NodeGroup {
 public:
  // `ranks`: of `all`, those of this node in their order, `rank` among them; the first leads. `leaders`: of all nodes,
  // the server's first; MPI_COMM_NULL where there is only one node, and on ranks that do not lead.
  NodeGroup(MPI_Comm all, std::vector<int> ranks, int rank, int num_nodes, MPI_Comm leaders, NodeStore& store);

  // From the server.
  void broadcast(const at::Tensor& buffer) const;
  // int64; the sum on the server, elsewhere unchanged.
  void reduce_sum(const at::Tensor& buffer) const;

 private:
  bool leads() const { return ranks_.front() == rank_; }
  bool has_server() const { return ranks_.front() == 0; }
  std::int64_t place() const;  // of this rank among the node's
  std::span<const int> members() const { return std::span(ranks_).subspan(1); }
  std::int64_t piece_of(const at::Tensor& buffer) const;
  struct Share {
    std::int64_t begin, end;
  };
  Share own_share(std::int64_t count) const;
  std::vector<NodeAddress> addresses_of_all(const NodeAddress& own, const NodeAddress& target) const;
  void tell(int rank) const;
  void hear_from(int rank) const;

  MPI_Comm all_, leaders_;
  std::vector<int> ranks_;
  int rank_, num_nodes_;
  NodeStore& store_;
};

}  // namespace fedmpi
