#pragma once

namespace CLI {
class App;
}

namespace fedmpi {

// `fedmpi manual page|completion|keys`: what is written here once, in the verbs' and options' own tables, in the forms
// that others read.
void add_manual_command(CLI::App& program);

}  // namespace fedmpi
