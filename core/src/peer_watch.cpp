#include "peer_watch.hpp"

#include "fedmpi/log.hpp"
#include "stopwatch.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include <fmt/format.h>
#include <unistd.h>

namespace fedmpi {

namespace {

// Of another process, or of another mount of it in a container, it would be somebody else's number.
bool is_this_program(int pid) {
  std::error_code error;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", error);
  return !error && std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid), error) == own && !error;
}

// The state is the letter after the last parenthesis, which closes the program's name.
bool is_stopped(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  const auto name_end = text.rfind(')');
  return name_end != std::string::npos && text.compare(name_end, 3, ") T") == 0;
}

}  // namespace

PeerWatch::PeerWatch(std::vector<int> pids, double seconds)
    : pids_{std::move(pids)}, seconds_{seconds}, thread_{[this] { watch(); }} {}

PeerWatch::~PeerWatch() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  end_.notify_one();
  thread_.join();
}

void PeerWatch::outlive_others(const std::function<void()>& meanwhile) const {
  if (seconds_ <= 0.0) return;
  const int own = ::getpid();
  for (const int pid : pids_) {
    if (pid == own) break;
    if (is_this_program(pid)) return;
  }
  for (const int pid : pids_)
    while (pid != own && is_this_program(pid)) {
      meanwhile();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

void PeerWatch::watch() {
  constexpr std::chrono::milliseconds pause(100);
  std::map<int, Stopwatch> stopped;
  std::unique_lock lock(mutex_);
  for (Stopwatch since_last; !end_.wait_for(lock, pause, [this] { return ended_; }); since_last = {}) {
    // This process was itself stopped: when the others were is not known.
    if (since_last.seconds() > 2.0) stopped.clear();
    const double seconds = seconds_;
    if (seconds <= 0.0) continue;
    for (const int pid : pids_) {
      if (!is_stopped(pid) || !is_this_program(pid)) {
        stopped.erase(pid);
      } else if (stopped.try_emplace(pid).first->second.seconds() >= seconds) {
        log(LogLevel::warning, fmt::format("process {} has been stopped for {:.0f} s and is ended", pid, seconds));
        ::kill(pid, SIGKILL);
      }
    }
  }
}

}  // namespace fedmpi
