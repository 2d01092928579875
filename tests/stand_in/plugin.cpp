#include "fedmpi/plugin.hpp"

#include "nccl_transport.hpp"

#include <array>

namespace {

class StandIn final : public fedmpi::NcclTransport {
 public:
  explicit StandIn(const fedmpi::Options&) : NcclTransport(fedmpi::make_nccl_calls()) {}
};

constexpr std::array<fedmpi::OptionSpec, 0> options{};

}  // namespace

FEDMPI_PLUGIN(Transport, StandIn, "stand_in", "1.0", "the transport \"nccl\" over a stand-in for NCCL", options)
