#include "terminal.hpp"

#include <atomic>
#include <cstdio>
#include <mutex>
#include <string>

namespace fedmpi::terminal {

namespace {

constexpr const char* clear_line = "\r\033[K";

std::mutex mutex;
std::string progress_line;  // empty: none stands there
std::atomic<bool> is_progress_shown = true;

// In one piece, so that the lines of several ranks on one terminal do not mix.
void put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

void print_line(std::string_view line) {
  const std::lock_guard lock(mutex);
  std::string text = progress_line.empty() ? "" : clear_line;
  text.append(line).append("\n").append(progress_line);
  put(text);
}

void draw_progress(std::string_view line) {
  const std::lock_guard lock(mutex);
  progress_line = line;
  put(clear_line + progress_line);
}

void show_progress(bool is_shown) {
  is_progress_shown = is_shown;
}

bool shows_progress() {
  return is_progress_shown;
}

void end_progress() {
  const std::lock_guard lock(mutex);
  if (progress_line.empty()) return;
  progress_line.clear();
  put("\n");
}

}  // namespace fedmpi::terminal
