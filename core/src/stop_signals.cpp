#include "stop_signals.hpp"

#include <array>
#include <csignal>

#include <unistd.h>

namespace fedmpi {

namespace {

constexpr std::array watched{SIGINT, SIGTERM, SIGUSR1};
constexpr int interrupted_status = 128 + SIGINT;  // as shells report it

volatile std::sig_atomic_t raised_signal = 0;
volatile std::sig_atomic_t interrupted = 0;

extern "C" void note_signal(int number) {
  if (number == SIGINT && interrupted != 0) _exit(interrupted_status);
  if (number == SIGINT) interrupted = 1;
  raised_signal = number;
}

void note(int number) {
  struct sigaction action {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;
  sigaction(number, &action, nullptr);
}

}  // namespace

void note_stop_signals() {
  for (const int number : watched) note(number);
}

void note_warning_signal() {
  note(SIGUSR1);
}

bool stop_signal_noted() {
  return raised_signal != 0;
}

}  // namespace fedmpi
