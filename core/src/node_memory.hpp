#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <map>
#include <utility>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// Memory that other processes on this machine may map while this one lives: what ranks of a node have in it they give
// each other without a message. Nothing of it is left when they end, however they do.

// Zeros, contiguous. Ordinary memory where the system has no other for this process, as under a limit on the size of
// files. Error when there is none left.
FEDMPI_API at::Tensor zeros_on_node(at::IntArrayRef sizes, at::ScalarType dtype);

// Where a tensor lies, for another process. Trivially copyable.
struct NodeAddress {
  std::int64_t pid = 0;  // 0: it is not in such memory
  std::int64_t descriptor = -1;
  std::int64_t inode = 0;   // no other memory has it as long as this is there
  std::int64_t offset = 0;  // bytes
};
FEDMPI_API NodeAddress node_address(const at::Tensor& tensor);

// What this process has mapped of others' memory. It stays: to map pages takes as long as to add up what is in them.
// Main thread only; what is mapped, of any.
class FEDMPI_API MappedMemory {
 public:
  MappedMemory() = default;
  ~MappedMemory();
  MappedMemory(const MappedMemory&) = delete;
  MappedMemory& operator=(const MappedMemory&) = delete;

  // Of which `bytes` will be used, anywhere. Valid until the same process gives the address of other memory with the
  // same descriptor, also when it has ended. RankLost when it has ended before, Error when the system does not allow
  // it.
  void* at(const NodeAddress& address, std::int64_t bytes);

  // That count as resident here, beside their owners.
  std::int64_t used_bytes() const;

 private:
  struct Mapping {
    std::int64_t inode = 0;
    void* pages = nullptr;
    std::size_t length = 0;
    std::int64_t used = 0;
  };
  std::map<std::pair<std::int64_t, std::int64_t>, Mapping> mappings_;  // by pid and descriptor
};

}  // namespace fedmpi
