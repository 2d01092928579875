#pragma once

#include "fedmpi/export.hpp"

#include <filesystem>
#include <string_view>

namespace fedmpi {

enum class LogLevel { debug, info, warning, error };

// One line to this rank's log: the terminal (rank 0 from info on; other ranks from warning on, to stderr) and, once
// open_log was called, DIR/rank_03.log from debug on. Any thread.
FEDMPI_API void log(LogLevel level, std::string_view message);
FEDMPI_API void set_log_rank(int rank, int size);
// For a run that shares the terminal with others: until it is set to nothing again only warnings and errors are shown,
// with `label` before them, and no progress.
FEDMPI_API void set_log_label(std::string_view label);
FEDMPI_API void open_log(const std::filesystem::path& directory);
// Closes the file. `last_words` become its last line, an error, without being shown on the terminal.
FEDMPI_API void close_log(std::string_view last_words = {});

}  // namespace fedmpi
