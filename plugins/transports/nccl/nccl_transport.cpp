#include "nccl_transport.hpp"

#include "fedmpi/error.hpp"

#include <chrono>
#include <limits>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace fedmpi {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration;

constexpr double for_ever = std::numeric_limits<double>::infinity();
// A small buffer is there sooner than a sleeping thread is back, a large one takes as long as many sleeps.
constexpr double spin_seconds = 1e-4, sleep_seconds = 5e-5, watch_seconds = 1e-3;
// A rank's death shows here as a failed connection, often before MPI has noticed.
constexpr double grace_seconds = 5.0;

double since(Clock::time_point start) {
  return duration<double>(Clock::now() - start).count();
}

}  // namespace

NcclTransport::NcclTransport(std::unique_ptr<NcclCalls> calls) : calls_{std::move(calls)} {}

NcclTransport::~NcclTransport() {
  calls_->abort();
}

std::string NcclTransport::open(at::Device device) {
  return calls_->open(device);
}

std::string NcclTransport::invitation() {
  return calls_->unique_id();
}

void NcclTransport::join(const std::string& invitation, int rank, int size, double seconds, const Watch& watch) {
  const auto start = [&] { calls_->start_join(invitation, rank, size); };
  if (finish("make a communicator of all ranks", start, seconds, watch)) return;
  abort();
  throw Error(
      fmt::format("NCCL: not all {} ranks came together within {:g} s: see that their nodes reach each other "
                  "(NCCL_DEBUG=INFO says what it tries, NCCL_SOCKET_IFNAME names a network), or raise "
                  "federation.transport_join_seconds",
                  size, seconds));
}

void NcclTransport::broadcast(at::Tensor buffer, const Watch& watch) {
  finish(
      "broadcast", [&] { calls_->start_broadcast(buffer); }, for_ever, watch);
}

void NcclTransport::reduce_sum(at::Tensor buffer, const Watch& watch) {
  finish(
      "sum", [&] { calls_->start_reduce_sum(buffer); }, for_ever, watch);
}

void NcclTransport::abort() noexcept {
  calls_->abort();
}

bool NcclTransport::finish(const char* what, const std::function<void()>& start, double seconds, const Watch& watch) {
  try {
    start();
  } catch (const Error& error) {
    fail(what, error.what(), watch);
  }
  const Clock::time_point begin = Clock::now();
  double watched = 0.0;
  for (;;) {
    const NcclCalls::State state = calls_->state();
    if (state == NcclCalls::State::done) return true;
    if (state == NcclCalls::State::failed) fail(what, calls_->failure(), watch);
    const double waited = since(begin);
    if (waited > seconds) return false;
    if (waited > watched + watch_seconds) {
      watched = waited;
      try {
        watch();
      } catch (...) {
        abort();
        throw;
      }
    }
    if (waited > spin_seconds) std::this_thread::sleep_for(duration<double>(sleep_seconds));
  }
}

void NcclTransport::fail(const char* what, const std::string& why, const Watch& watch) {
  abort();
  for (const Clock::time_point start = Clock::now(); since(start) < grace_seconds;) {
    watch();
    std::this_thread::sleep_for(duration<double>(watch_seconds));
  }
  throw Error(fmt::format("NCCL could not {}: {}", what, why));
}

}  // namespace fedmpi
