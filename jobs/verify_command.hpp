#pragma once

#include <CLI/App.hpp>

namespace fedmpi {

// fedmpi verify CHECKPOINT [--rounds N] [--from-start] [--set KEY=VALUE]... [--plugins DIR]...: under mpirun or srun,
// or alone.
void add_verify_command(CLI::App& program, int& argc, char**& argv, int& status);

}  // namespace fedmpi
