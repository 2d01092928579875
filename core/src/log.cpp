#include "fedmpi/log.hpp"

#include "file_error.hpp"
#include "terminal.hpp"

#include <algorithm>
#include <ctime>
#include <memory>
#include <mutex>
#include <string>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>

namespace fedmpi {

namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

class Log {
 public:
  void set_rank(int rank, int size) {
    const std::lock_guard lock(mutex_);
    rank_ = rank;
    size_ = size;
    if (file_) file_->set_pattern(pattern());
  }

  void set_label(std::string_view label) {
    const std::lock_guard lock(mutex_);
    label_ = label;
    terminal::show_progress(label.empty());
  }

  void open(const std::filesystem::path& directory) {
    const std::lock_guard lock(mutex_);
    const std::filesystem::path path = directory / fmt::format("rank_{:0{}}.log", rank_, width());
    try {
      file_ = std::make_unique<spdlog::sinks::basic_file_sink_st>(path.string());
    } catch (const spdlog::spdlog_ex& error) {
      throw file_error(path, std::string("the log could not be opened: ") + error.what());
    }
    file_->set_pattern(pattern());
  }

  void close(std::string_view last_words) {
    const std::lock_guard lock(mutex_);
    if (!last_words.empty()) write_to_file(LogLevel::error, last_words);
    file_.reset();
  }

  void write(LogLevel level, std::string_view message) {
    const std::lock_guard lock(mutex_);
    const bool is_shown_all = rank_ == 0 && label_.empty();
    if (level >= (is_shown_all ? LogLevel::info : LogLevel::warning)) terminal::print_line(for_people(level, message));
    write_to_file(level, message);
  }

 private:
  void write_to_file(LogLevel level, std::string_view message) {
    if (!file_) return;
    try {
      file_->log(spdlog::details::log_msg("", to_spdlog(level), {message.data(), message.size()}));
      file_->flush();
    } catch (const spdlog::spdlog_ex& error) {
      terminal::print_line(for_people(LogLevel::warning, std::string("the log file ends here: ") + error.what()));
      file_.reset();
    }
  }

  int width() const { return std::max<int>(2, static_cast<int>(std::to_string(size_).size())); }

  std::string pattern() const {
    return fmt::format("[%Y-%m-%d %H:%M:%S.%e] [rank {:0{}}/{:0{}}] [%l] %v", rank_, width(), size_, width());
  }

  std::string for_people(LogLevel level, std::string_view message) const {
    std::string line = fmt::format("{:%H:%M:%S} ", fmt::localtime(std::time(nullptr)));
    if (!label_.empty()) line += label_ + ": ";
    if (rank_ != 0) line += fmt::format("rank {}: ", rank_);
    if (level == LogLevel::warning) line += "warning: ";
    if (level == LogLevel::error) line += "error: ";
    return line.append(message);
  }

  std::mutex mutex_;
  int rank_ = 0;
  int size_ = 1;
  std::string label_;
  std::unique_ptr<spdlog::sinks::basic_file_sink_st> file_;
};

Log& process_log() {
  static Log instance;
  return instance;
}

}  // namespace

void log(LogLevel level, std::string_view message) {
  process_log().write(level, message);
}
void set_log_rank(int rank, int size) {
  process_log().set_rank(rank, size);
}
void set_log_label(std::string_view label) {
  process_log().set_label(label);
}
void open_log(const std::filesystem::path& directory) {
  process_log().open(directory);
}
void close_log(std::string_view last_words) {
  process_log().close(last_words);
}

}  // namespace fedmpi
