#include "plugin_search.hpp"

#include "fedmpi/digest.hpp"
#include "fedmpi/plugin.hpp"
#include "option_check.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace fs = std::filesystem;

namespace {

struct KindDirectory {
  const char* kind;
  const char* directory;
};
constexpr std::array<KindDirectory, 4> kinds{
    {{"strategy", "strategies"}, {"model", "models"}, {"dataset", "datasets"}, {"transport", "transports"}}};

std::vector<fs::path> sub_directories(const std::string& kind) {
  for (const auto& [name, directory] : kinds) {
    if (kind == name) return {fs::path{directory}, fs::path{}};
  }
  throw std::logic_error(fmt::format("there is no kind of plugin called '{}'", kind));
}

// Not an iterator that throws: a directory that cannot be read holds nothing that can be loaded.
std::vector<fs::path> shared_objects(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry{directory, error}, end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".so") files.push_back(entry->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string nearest_plugin(const std::string& kind, const std::string& name, std::span<const fs::path> search_path) {
  std::vector<std::string> names;
  for (const fs::path& directory : search_path) {
    for (const fs::path& sub_directory : sub_directories(kind)) {
      for (const fs::path& file : shared_objects(directory / sub_directory)) names.push_back(file.stem().string());
    }
  }
  return nearest(name, names);
}

// The same name under another kind: found, so that the error can say what it is.
fs::path find_under_other_kind(const std::string& file_name, std::span<const fs::path> search_path) {
  std::error_code error;
  for (const fs::path& directory : search_path) {
    for (const auto& entry : kinds) {
      const fs::path file = directory / entry.directory / file_name;
      if (fs::exists(file, error)) return file;
    }
  }
  return {};
}

bool have_same_bytes(const fs::path& one, const fs::path& other) {
  std::error_code error;
  if (fs::equivalent(one, other, error)) return true;
  try {
    return digest_file(one) == digest_file(other);
  } catch (const FileError&) {
    return false;
  }
}

void check_directory(const fs::path& directory, std::string_view named_by) {
  std::error_code error;
  if (fs::is_directory(directory, error)) return;
  throw PluginError(fmt::format("the plugin directory {} that {} names does not exist", directory.string(), named_by),
                    directory);
}

}  // namespace

std::vector<fs::path> plugin_search_path(std::span<const fs::path> named) {
  std::vector<fs::path> path;
  for (const fs::path& directory : named) {
    check_directory(directory, "the job or the command line");
    path.push_back(directory);
  }
  if (const char* variable = std::getenv("FEDMPI_PLUGIN_PATH"); variable != nullptr) {
    for (const std::string& directory : split(variable, ':')) {
      if (directory.empty()) continue;
      check_directory(directory, "FEDMPI_PLUGIN_PATH");
      path.emplace_back(directory);
    }
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    const fs::path root = program.parent_path().parent_path();
    path.push_back(root / "plugins");                     // of a build tree
    path.push_back(root / "lib" / "fedmpi" / "plugins");  // of an installation
  }
  return path;
}

fs::path find_plugin(const std::string& kind, const std::string& name, std::span<const fs::path> search_path) {
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  // It becomes part of a path, and only the search path says where plugins come from.
  if (name.empty() || name.find_first_not_of(allowed) != std::string::npos) {
    throw PluginError(
        fmt::format("'{}' cannot be the name of a {} plugin: letters, digits, '_' and '-' can be", name, kind), name);
  }
  const std::string file_name = name + ".so";
  std::vector<std::string> tried;
  std::error_code error;
  fs::path found;
  for (const fs::path& directory : search_path) {
    for (const fs::path& sub_directory : sub_directories(kind)) {
      const fs::path file = sub_directory.empty() ? directory / file_name : directory / sub_directory / file_name;
      tried.push_back(file.string());
      // A link that leads nowhere too: the next of that name is not what was meant.
      if (fs::symlink_status(file, error).type() == fs::file_type::not_found) continue;
      if (found.empty())
        found = file;
      else if (!have_same_bytes(found, file))
        throw PluginError(
            fmt::format("there are two {} plugins '{}' that are not the same, {} and {}: remove or rename "
                        "one of them",
                        kind, name, found.string(), file.string()),
            file);
    }
  }
  if (!found.empty()) return found;
  if (const fs::path other = find_under_other_kind(file_name, search_path); !other.empty()) return other;
  const std::string near = nearest_plugin(kind, name, search_path);
  throw PluginError(fmt::format("there is no {} plugin '{}'{} (tried {})", kind, name,
                                near.empty() ? "" : fmt::format("; did you mean '{}'?", near), fmt::join(tried, ", ")),
                    file_name);
}

std::vector<fs::path> plugin_files(std::span<const fs::path> search_path) {
  std::vector<fs::path> files;
  std::set<fs::path> seen;
  const auto add = [&](const fs::path& directory) {
    for (const fs::path& file : shared_objects(directory)) {
      std::error_code error;
      const fs::path canonical = fs::canonical(file, error);
      if (seen.insert(error ? file : canonical).second) files.push_back(file);
    }
  };
  for (const fs::path& directory : search_path) {
    for (const auto& entry : kinds) add(directory / entry.directory);
    add(directory);
  }
  return files;
}

}  // namespace fedmpi
