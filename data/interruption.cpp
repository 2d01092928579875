#include "interruption.hpp"

#include "fedmpi/error.hpp"

#include <array>
#include <atomic>
#include <csignal>

namespace fedmpi {
namespace {

constexpr std::array signals{SIGINT, SIGTERM, SIGHUP};
std::atomic<int> noted = 0;
static_assert(std::atomic<int>::is_always_lock_free);  // what a signal handler may touch
std::array<struct sigaction, signals.size()> previous;

void note(int signal) {
  noted = signal;
}

}  // namespace

Interruption::Interruption() {
  noted = 0;
  struct sigaction action {};
  action.sa_handler = note;
  action.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < signals.size(); ++i) {
    sigaction(signals[i], nullptr, &previous[i]);
    // nohup's wish stands.
    if (previous[i].sa_handler != SIG_IGN) sigaction(signals[i], &action, nullptr);
  }
}

Interruption::~Interruption() {
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &previous[i], nullptr);
  if (noted != 0) std::raise(noted);
}

void Interruption::check() const {
  if (noted != 0) throw Error("interrupted; nothing was written");
}

}  // namespace fedmpi
