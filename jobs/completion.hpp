#pragma once

#include <string>

namespace CLI {
class App;
}

namespace fedmpi {

// A script for bash that completes verbs, their options, the keys after --set and --sweep, and files.
std::string bash_completion(const CLI::App& program);

}  // namespace fedmpi
