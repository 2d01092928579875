#pragma once

#include <string>

namespace CLI {
class App;
}

namespace fedmpi {

// fedmpi(1) in the man macros: the program's verbs and options, a job's keys.
std::string man_page(const CLI::App& program);

}  // namespace fedmpi
