#pragma once

#include <CLI/App.hpp>

namespace fedmpi {

// fedmpi new strategy|model|dataset NAME: a folder NAME with a plugin that builds and works as it stands, from the
// program's templates.
void add_new_command(CLI::App& program);

}  // namespace fedmpi
