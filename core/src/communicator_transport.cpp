// A transport in the place of MPI: who carries which buffer, and how its ranks come together.
#include "communicator_handle.hpp"
#include "fedmpi/transport.hpp"
#include "mpi_calls.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr int no_tag = 6;  // of no message: only whether ranks are lost is asked

}  // namespace

void Communicator::set_transport(std::shared_ptr<Transport> transport, at::Device device, double join_seconds) {
  handle_->transport = {};
  if (!transport) return;
  std::string own;
  agree(*this, [&] { own = transport->open(device); });
  const auto names = all_gather(own);
  for (auto name = names.begin(); name != names.end(); ++name) {
    const auto other = std::find(names.begin(), name, *name);
    if (name->empty() || other == name) continue;
    throw AgreedError(
        fmt::format("ranks {} and {} would both use {}, and this transport takes one for each rank, the server "
                    "included: start as many ranks as there are, or set "
                    "federation.transport = \"mpi\"",
                    other - names.begin(), name - names.begin(), *name),
        true);
  }
  handle_->transport = {.carrier = std::move(transport), .device = device, .join_seconds = join_seconds};
  if (size_ > 1) join_transport();
}

void Communicator::drop_transport() noexcept {
  leave_transport();
  handle_->transport = {};
}

// Notices, while ranks wait elsewhere, that some are lost.
std::function<void()> Communicator::watch() const {
  return [comm = handle_->comm] {
    int arrived = 0;
    FEDMPI_MPI(MPI_Iprobe, MPI_ANY_SOURCE, no_tag, comm, &arrived, MPI_STATUS_IGNORE);
  };
}

bool Communicator::goes_by_transport(const at::Tensor& buffer) const {
  const at::ScalarType dtype = buffer.scalar_type();
  return handle_->transport.carrier && size_ > 1 && buffer.numel() > 0 &&
         buffer.device() == handle_->transport.device && (dtype == at::kFloat || dtype == at::kLong);
}

void Communicator::join_transport() {
  CarrierState& state = handle_->transport;
  std::string invitation;
  agree(*this, [&] {
    if (is_server()) invitation = state.carrier->invitation();
  });
  broadcast(invitation);
  state.has_joined = true;  // also where the others do not learn of it: this rank has to leave again
  agree(*this, [&] { state.carrier->join(invitation, rank_, size_, state.join_seconds, watch()); });
}

Transport& Communicator::joined_transport() {
  if (!handle_->transport.has_joined) join_transport();
  return *handle_->transport.carrier;
}

void Communicator::leave_transport() noexcept {
  if (!std::exchange(handle_->transport.has_joined, false)) return;
  handle_->transport.carrier->abort();
}

}  // namespace fedmpi
