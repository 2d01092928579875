#pragma once

#include <CLI/App.hpp>

namespace fedmpi {

// fedmpi inspect FILE [--vocabulary FILE] [--texts N] [--json]: what is in a shard or in a file of a run's checkpoints.
// Its callback throws UserError and FileError.
void add_inspect_command(CLI::App& program);

}  // namespace fedmpi
