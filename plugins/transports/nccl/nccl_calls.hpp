#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

namespace fedmpi {

// What the transport asks of NCCL and the CUDA runtime, one communicator at a time. Calls that start something return
// at once; state() says what has become of it, and until it is done nothing else may be started. A call that fails at
// once throws an Error with what the library says.
class NcclCalls {
 public:
  enum class State { in_progress, done, failed };
  virtual ~NcclCalls() = default;

  // The name of the device, the same in every process that uses it; "" where several ranks may share one. UserError
  // when buffers there cannot be carried.
  virtual std::string open(at::Device device) = 0;

  virtual std::string unique_id() = 0;
  virtual void start_join(const std::string& unique_id, int rank, int size) = 0;
  virtual void start_broadcast(at::Tensor buffer) = 0;
  virtual void start_reduce_sum(at::Tensor buffer) = 0;

  virtual State state() = 0;
  virtual std::string failure() = 0;  // why the state is `failed`

  // Ends the communicator, if there is one, and whatever it was doing.
  virtual void abort() noexcept = 0;
};

std::unique_ptr<NcclCalls> make_nccl_calls();

}  // namespace fedmpi
