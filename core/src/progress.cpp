#include "fedmpi/progress.hpp"

#include "terminal.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace fedmpi {

namespace {

using Seconds = std::chrono::duration<double>;
constexpr std::chrono::milliseconds between_drawings{100};
constexpr std::chrono::seconds between_lines{10};
constexpr int bar_width = 24;

std::string format_seconds(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string format_rate(double rate) {
  if (rate >= 100) return fmt::format("{:.0f}", rate);
  return fmt::format("{:.3g}", rate);
}

std::string format_bar(std::int64_t done, std::int64_t total) {
  const auto filled = static_cast<int>(std::min(done, total) * bar_width / total);
  return fmt::format("[{:#<{}}{:.<{}}] ", "", filled, "", bar_width - filled);
}

std::size_t terminal_width() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

// A total of 0 means that it is not known.
std::string describe(std::int64_t done, std::int64_t total, const std::string& unit, double seconds, bool last) {
  std::string text = total > 0 ? fmt::format("{}/{} {}", done, total, unit) : fmt::format("{} {}", done, unit);
  if (total > 0) text += fmt::format(" ({}%)", std::min(done, total) * 100 / total);
  if (done > 0 && seconds > 0) text += fmt::format(", {} {}/s", format_rate(done / seconds), unit);
  if (last) return text + fmt::format(", {}", format_seconds(seconds));
  if (total > 0 && done > 0) {
    text += fmt::format(", {} left", format_seconds(seconds * std::max<std::int64_t>(0, total - done) / done));
  }
  return text;
}

}  // namespace

Progress::Progress(std::string title, std::int64_t total, std::string unit, bool enabled)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      enabled_(enabled && terminal::shows_progress()),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      drawn_(start_) {
  if (enabled_ && terminal_) draw(false);
}

Progress::~Progress() {
  if (!enabled_) return;
  // Work that failed has no end to tell of: the error stands alone.
  if (terminal_ || std::uncaught_exceptions() == 0) draw(true);
  if (terminal_) terminal::end_progress();
}

void Progress::advance(std::int64_t amount, const std::string& note) {
  done_ += amount;
  if (!note.empty()) note_ = note;
  if (!enabled_) return;
  const auto interval = terminal_ ? std::chrono::milliseconds(between_drawings) : between_lines;
  if (std::chrono::steady_clock::now() - drawn_ >= interval) draw(false);
}

void Progress::draw(bool last) {
  drawn_ = std::chrono::steady_clock::now();
  std::string line = title_ + " ";
  if (terminal_ && total_ > 0) line += format_bar(done_, total_);
  line += describe(done_, total_, unit_, Seconds(drawn_ - start_).count(), last);
  if (!note_.empty()) line += ", " + note_;
  if (!terminal_) return terminal::print_line(line);
  // A line that wraps could not be redrawn in place.
  line.resize(std::min(line.size(), terminal_width() - 1));
  terminal::draw_progress(line);
}

}  // namespace fedmpi
