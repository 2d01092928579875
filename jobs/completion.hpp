#pragma once

#include "fedmpi/plugin.hpp"

#include <span>
#include <string>

namespace CLI {
class App;
}

namespace fedmpi {

// A script for bash that completes verbs, their options, the keys after --set and --sweep, those of these plugins among
// them, and files.
std::string bash_completion(const CLI::App& program, std::span<const Plugin> plugins);

}  // namespace fedmpi
