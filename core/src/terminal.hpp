#pragma once

#include "fedmpi/export.hpp"

#include <string_view>

namespace fedmpi::terminal {

// What the log and the progress line share: stderr, one writer at a time. Any thread.

// A whole line. A progress line that stands there is taken away first and drawn again below.
FEDMPI_API void print_line(std::string_view line);

// Replaces the progress line. Only for a stderr that is a terminal.
FEDMPI_API void draw_progress(std::string_view line);
// Whether there is to be any progress line from now on; there is at first.
FEDMPI_API void show_progress(bool is_shown);
FEDMPI_API bool shows_progress();
// The progress line stays as it is and the next output begins below it.
FEDMPI_API void end_progress();

}  // namespace fedmpi::terminal
