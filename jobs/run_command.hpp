#pragma once

#include <CLI/App.hpp>

namespace fedmpi {

// fedmpi run JOB [--set KEY=VALUE]... [--output DIR] [--resume] [--plugins DIR]...: under mpirun or srun, or alone.
void add_run_command(CLI::App& program, int& argc, char**& argv, int& status);

}  // namespace fedmpi
