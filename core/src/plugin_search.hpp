#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

// The file of a plugin. Throws PluginError when there is none, or there are two that are not the same.
std::filesystem::path find_plugin(const std::string& kind, const std::string& name,
                                  std::span<const std::filesystem::path> search_path);

// Every plugin file of the directories, each once, in the order of the search.
std::vector<std::filesystem::path> plugin_files(std::span<const std::filesystem::path> search_path);

}  // namespace fedmpi
