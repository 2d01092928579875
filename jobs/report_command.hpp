#pragma once

#include <CLI/App.hpp>

namespace fedmpi {

// fedmpi report RUN... [-o FILE | --json]: curves, times, clients and failures of runs as one self-contained page.
void add_report_command(CLI::App& program);

}  // namespace fedmpi
