#pragma once

#include "fedmpi/export.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace fedmpi {

// Ends processes of this same program on this host (SIGKILL) once they have been stopped (SIGSTOP, not by a debugger)
// for `seconds`, so that nobody waits for them for ever. Watches from a thread of its own.
class FEDMPI_API PeerWatch {
 public:
  PeerWatch(std::vector<int> pids, double seconds);
  ~PeerWatch();
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

 private:
  void watch(std::vector<int> pids, double seconds);

  std::mutex mutex_;
  std::condition_variable end_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace fedmpi
