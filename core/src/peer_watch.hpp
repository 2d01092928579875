#pragma once

#include "fedmpi/export.hpp"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace fedmpi {

// Ends processes of this same program on this host (SIGKILL) once they have been stopped (SIGSTOP, not by a debugger)
// for `seconds` (0: never), so that nobody waits for them for ever. Watches from a thread of its own.
class FEDMPI_API PeerWatch {
 public:
  // `pids`: of all, in an order that all know; this process may be among them.
  PeerWatch(std::vector<int> pids, double seconds);
  ~PeerWatch();
  void set_seconds(double seconds) { seconds_ = seconds; }
  // Where this process is the first of those that still run, and there is a limit: returns when it is the only one.
  // Calls `meanwhile` again and again.
  void outlive_others(const std::function<void()>& meanwhile) const;
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

 private:
  void watch();

  const std::vector<int> pids_;
  std::atomic<double> seconds_;
  std::mutex mutex_;
  std::condition_variable end_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace fedmpi
