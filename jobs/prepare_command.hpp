#pragma once

#include <CLI/App.hpp>

namespace fedmpi {

// `fedmpi prepare imdb`. Its callback throws UserError and FileError.
void add_prepare_command(CLI::App& program);

}  // namespace fedmpi
