#pragma once

#include "fedmpi/transport.hpp"
#include "nccl_calls.hpp"

#include <functional>
#include <memory>
#include <string>

namespace fedmpi {

// Buffers between GPUs by NCCL: broadcast from rank 0, and a sum of int64 to it, which is the same in any order. NCCL
// has nothing that notices the death of a rank: while it works, `watch` does, and where it throws the communicator is
// aborted, so that no rank waits for ever.
class NcclTransport : public Transport {
 public:
  explicit NcclTransport(std::unique_ptr<NcclCalls> calls);
  ~NcclTransport() override;

  std::string open(at::Device device) override;
  std::string invitation() override;
  void join(const std::string& invitation, int rank, int size, double seconds, const Watch& watch) override;
  void broadcast(at::Tensor buffer, const Watch& watch) override;
  void reduce_sum(at::Tensor buffer, const Watch& watch) override;
  void abort() noexcept override;

 private:
  // Whether what `start` starts is done within `seconds`.
  bool finish(const char* what, const std::function<void()>& start, double seconds, const Watch& watch);
  [[noreturn]] void fail(const char* what, const std::string& why, const Watch& watch);

  std::unique_ptr<NcclCalls> calls_;
};

}  // namespace fedmpi
