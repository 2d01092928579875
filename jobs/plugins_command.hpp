#pragma once

#include <CLI/App.hpp>

namespace fedmpi {

// fedmpi plugins [DIR] [--plugins DIR]... [--json]: what is installed, where, which version, which options it takes.
// fedmpi plugins --check FILE [--set KEY=VALUE]... [--json]: see check_plugin_file.
void add_plugins_command(CLI::App& program);

}  // namespace fedmpi
