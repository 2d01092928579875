#pragma once

#include <string>
#include <vector>

namespace fedmpi {

struct PluginCheck {
  std::string file;
  std::vector<std::string> settings;  // see check_conformance
  bool json = false;
  bool trust = false;
};

// fedmpi plugins --check FILE: loads the plugin in a process of its own, where it may crash, and prints a line for each
// check. Throws UserError, the first failure's sentence, unless all passed.
void check_plugin_file(const PluginCheck& request);

}  // namespace fedmpi
