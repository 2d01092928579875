#pragma once

#include <CLI/App.hpp>

namespace fedmpi {

// fedmpi check JOB [--set KEY=VALUE]... [--output DIR] [--resume] [--plugins DIR]... [--ranks N] [--nodes N] [--json]:
// under mpirun or srun, or alone.
void add_check_command(CLI::App& program, int& argc, char**& argv, int& status);

}  // namespace fedmpi
