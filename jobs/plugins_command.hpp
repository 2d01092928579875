#pragma once

#include <CLI/App.hpp>

namespace fedmpi {

// fedmpi plugins [DIR] [--json]: what is installed, where, which version, which options it takes.
void add_plugins_command(CLI::App& program);

}  // namespace fedmpi
