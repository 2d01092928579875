#include "fedmpi/error.hpp"
#include "nccl_calls.hpp"

#include <cstdlib>
#include <cstring>
#include <string_view>

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>

namespace fedmpi {

namespace {

void check(cudaError_t result, const char* call) {
  if (result != cudaSuccess) throw Error(fmt::format("{} failed: {}", call, cudaGetErrorString(result)));
}

// What a call says at once; in a communicator that does not block it may only have begun.
void check(ncclResult_t result, const char* call) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  throw Error(fmt::format("{} failed: {}", call, ncclGetErrorString(result)));
}

ncclDataType_t type_of(const at::Tensor& buffer) {
  return buffer.scalar_type() == at::kLong ? ncclInt64 : ncclFloat32;
}

// LibTorch's own work is on the default stream, which NCCL is given too: neither starts before the other is done.
constexpr cudaStream_t stream = nullptr;

class CudaCalls final : public NcclCalls {
 public:
  ~CudaCalls() override { CudaCalls::abort(); }

  std::string open(at::Device device) override {
    if (!device.is_cuda())
      throw UserError(
          "federation.transport = \"nccl\" carries what lies on GPUs: set run.device = \"cuda\", or "
          "federation.transport = \"mpi\"");
    check(cudaSetDevice(device.index()), "cudaSetDevice");
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, device.index()), "cudaGetDeviceProperties");
    // NCCL 2.30 and later lets ranks share a GPU where the user says so.
    const char* shared = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
    if (shared != nullptr && std::string_view(shared) == "1") return "";
    std::string name = fmt::format("{} ", properties.name);
    for (const char byte : properties.uuid.bytes) name += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    return name;
  }

  std::string unique_id() override {
    ncclUniqueId id;
    check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    return {id.internal, sizeof id.internal};
  }

  void start_join(const std::string& unique_id, int rank, int size) override {
    ncclUniqueId id;
    if (unique_id.size() != sizeof id.internal) throw Error("NCCL's unique id has another length on rank 0");
    std::memcpy(id.internal, unique_id.data(), sizeof id.internal);
    rank_ = rank;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;  // without which nothing could be aborted
    check(ncclCommInitRankConfig(&comm_, size, id, rank, &config), "ncclCommInitRankConfig");
  }

  void start_broadcast(at::Tensor buffer) override {
    check(ncclBroadcast(buffer.data_ptr(), buffer.data_ptr(), static_cast<std::size_t>(buffer.numel()), type_of(buffer),
                        0, comm_, stream),
          "ncclBroadcast");
  }

  void start_reduce_sum(at::Tensor buffer) override {
    void* const sum = rank_ == 0 ? buffer.data_ptr() : nullptr;
    check(ncclReduce(buffer.data_ptr(), sum, static_cast<std::size_t>(buffer.numel()), type_of(buffer), ncclSum, 0,
                     comm_, stream),
          "ncclReduce");
  }

  State state() override {
    ncclResult_t result = ncclSuccess;
    if (ncclCommGetAsyncError(comm_, &result) != ncclSuccess) return State::failed;
    if (result == ncclInProgress) return State::in_progress;  // not yet on the stream
    if (result != ncclSuccess) return State::failed;
    on_stream_ = cudaStreamQuery(stream);
    if (on_stream_ != cudaErrorNotReady) return on_stream_ == cudaSuccess ? State::done : State::failed;
    static_cast<void>(cudaGetLastError());  // LibTorch would take it for an error of its next kernel
    return State::in_progress;
  }

  std::string failure() override {
    ncclResult_t result = ncclSuccess;
    ncclCommGetAsyncError(comm_, &result);
    std::string text = result == ncclSuccess ? cudaGetErrorString(on_stream_) : ncclGetErrorString(result);
    if (const char* detail = ncclGetLastError(comm_); detail != nullptr && *detail != '\0')
      text += fmt::format(" ({})", detail);
    return text;
  }

  void abort() noexcept override {
    if (comm_ != nullptr) ncclCommAbort(comm_);
    comm_ = nullptr;
  }

 private:
  ncclComm_t comm_ = nullptr;
  cudaError_t on_stream_ = cudaSuccess;  // when it was asked last
  int rank_ = 0;
};

}  // namespace

std::unique_ptr<NcclCalls> make_nccl_calls() {
  return std::make_unique<CudaCalls>();
}

}  // namespace fedmpi
