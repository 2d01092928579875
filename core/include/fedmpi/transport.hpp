#pragma once

#include "fedmpi/export.hpp"

#include <functional>
#include <string>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

namespace fedmpi {

// Interface of a transport plugin: it carries the large buffers between ranks in the place of MPI, which carries all
// else. One object a rank, used from the main thread alone. Buffers are contiguous, float32 or int64, on the device
// that open() was given, of the same length on all ranks; what was written to them before is there, and what comes is
// there when a call returns. It has no options: no key of a job is its own.
class FEDMPI_API Transport {
 public:
  static constexpr const char* plugin_kind = "transport";
  virtual ~Transport();

  // Called again and again while ranks wait for one another. What it throws, not always an exception of the standard,
  // ends the wait as by abort() and comes out of the call.
  using Watch = std::function<void()>;

  // Once and first, on each rank for itself. Returns the name of what no other rank may use as well, such as a GPU, or
  // "". UserError when it cannot carry buffers that lie there.
  virtual std::string open(at::Device device) = 0;

  // On rank 0, for every join: what all ranks need to find each other. Error when the system does not give it.
  virtual std::string invitation() = 0;

  // All ranks together, before the first of the calls below and after abort(). Error when not all have come within
  // `seconds`.
  virtual void join(const std::string& invitation, int rank, int size, double seconds, const Watch& watch) = 0;

  // All ranks together. Error when it failed on this rank; what is received is then undefined, but what a rank gives
  // (rank 0 to broadcast, the others to reduce_sum) never changes: after a lost rank it is given again.
  virtual void broadcast(at::Tensor buffer, const Watch& watch) = 0;   // from rank 0
  virtual void reduce_sum(at::Tensor buffer, const Watch& watch) = 0;  // int64; the sum on rank 0

  // This rank is out, whatever the others do.
  virtual void abort() noexcept = 0;
};

}  // namespace fedmpi
