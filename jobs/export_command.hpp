#pragma once

#include <CLI/App.hpp>

namespace fedmpi {

// fedmpi export CHECKPOINT DIR [--set model.KEY=VALUE]... [--plugins DIR]...: the global model as other programs know
// it. Its callback throws UserError, FileError and Error.
void add_export_command(CLI::App& program);

}  // namespace fedmpi
