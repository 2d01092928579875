#include "fedmpi/plugin.hpp"

#include "nccl_transport.hpp"

#include <array>

namespace {

class Nccl final : public fedmpi::NcclTransport {
 public:
  explicit Nccl(const fedmpi::Options&) : NcclTransport(fedmpi::make_nccl_calls()) {}
};

constexpr std::array<fedmpi::OptionSpec, 0> options{};

}  // namespace

FEDMPI_PLUGIN(Transport, Nccl, "nccl", "1.0", "buffers of GPUs by NCCL, one GPU for each rank", options)
