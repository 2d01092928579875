#include "fedmpi/plugin.hpp"

#include "fedmpi/digest.hpp"
#include "fedmpi/job.hpp"
#include "option_check.hpp"
#include "plugin_search.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <system_error>

#include <boost/dll/shared_library.hpp>
#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fedmpi {

namespace fs = std::filesystem;

namespace {

constexpr const char* symbol_name = "fedmpi_plugin";

[[noreturn]] void fail(const fs::path& path, const std::string& message) {
  throw PluginError(fmt::format("the plugin {} {}", path.string(), message), path);
}

// dlerror's text begins with the path, which the sentence has already.
std::string last_error(const fs::path& path) {
  const char* raw = ::dlerror();
  std::string text = raw != nullptr ? raw : "the system does not say why";
  const std::string prefix = path.string() + ": ";
  if (text.starts_with(prefix)) text.erase(0, prefix.size());
  return text;
}

// The loader would read past the end of a half-copied file and be killed.
void check_whole(const fs::path& path) {
#if defined(__LP64__)
  Elf64_Ehdr header{};
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(&header), sizeof header);
  if (!file || std::string_view(reinterpret_cast<const char*>(header.e_ident), SELFMAG) != ELFMAG) return;
  const std::uintmax_t end = header.e_shoff + std::uintmax_t{header.e_shnum} * header.e_shentsize;
  if (std::error_code error; fs::file_size(path, error) < end) fail(path, "is cut short: copy it again");
#endif
}

// Loading a library runs its code with this user's rights. Whoever owns the program could do that anyway; a group that
// may write is trusted, as its members were made such on purpose.
void check_only_ours(const fs::path& file) {
  struct stat program {};
  const bool known = ::stat("/proc/self/exe", &program) == 0;
  const auto is_trusted = [&](uid_t user) {
    return user == 0 || user == ::geteuid() || (known && user == program.st_uid);
  };
  for (const fs::path& part : {file, file.parent_path()}) {
    struct stat status {};
    if (::stat(part.c_str(), &status) != 0) continue;  // opening it will say why
    const bool all_may_write = (status.st_mode & S_IWOTH) != 0 && (part == file || (status.st_mode & S_ISVTX) == 0);
    if (all_may_write || !is_trusted(status.st_uid))
      fail(file,
           fmt::format("could be changed by others, because {} {}: take that away, or trust it by --trust-plugins",
                       part == file ? "the file" : "its directory",
                       all_may_write ? "may be written to by all" : "belongs to another user"));
  }
}

boost::dll::shared_library open_library(const fs::path& path) {
  boost::dll::shared_library library;
  std::error_code error;
  library.load(path, error, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
  if (!error) return library;
  const std::string reason = last_error(path);
  if (const auto end = reason.find(": cannot open shared object file"); end != std::string::npos)
    fail(path, fmt::format("needs the library {}, which is not there: install it, or name its directory in "
                           "LD_LIBRARY_PATH",
                           reason.substr(0, end)));
  fail(path, "cannot be loaded: " + reason);
}

std::string section_of(const std::string& kind) {
  if (kind == "transport") return "federation";
  return kind == "dataset" ? "data" : kind;
}

void check_compatible(const PluginInfo& info, const fs::path& path) {
  // First, and alone: with another ABI the other fields mean something else.
  if (info.abi_version != abi_version) {
    fail(path,
         fmt::format("was built for plugin ABI {} and this program has {}; build it again with this program's headers",
                     info.abi_version, abi_version));
  }
  if (info.struct_size < sizeof(PluginInfo)) {
    fail(path, fmt::format("describes itself in {} bytes where this program reads {}; build it again", info.struct_size,
                           sizeof(PluginInfo)));
  }
  const std::string stamp = info.build_stamp != nullptr ? info.build_stamp : "(none)";
  if (stamp != FEDMPI_BUILD_STAMP) {
    fail(path, fmt::format("was built with {} and this program with {}; build it again with the same", stamp,
                           FEDMPI_BUILD_STAMP));
  }
}

void check_options_table(const PluginInfo& info, const fs::path& path) {
  if (info.num_options == 0) return;
  if (info.options == nullptr) fail(path, "has a broken options table: it is missing");
  const std::span<const OptionSpec> table{info.options, info.num_options};
  if (const std::string defect = table_defect(table); !defect.empty()) {
    fail(path, "has a broken options table: " + defect);
  }
  for (const JobSection& section : job_sections()) {
    if (section.name != section_of(info.kind)) continue;
    for (const OptionSpec& core : section.keys) {
      for (const OptionSpec& spec : table) {
        if (std::string_view{core.name} != spec.name) continue;
        fail(path,
             fmt::format("declares the option '{}', which is the program's own key of [{}]", spec.name, section.name));
      }
    }
  }
}

void check_texts(const PluginInfo& info, const fs::path& path) {
  for (const char* text : {info.kind, info.name, info.version, info.summary}) {
    if (text == nullptr) fail(path, "lacks its kind, name, version or summary");
  }
  if (info.factory == nullptr) fail(path, "has no factory");
  if (path.stem() != info.name) {
    fail(path, fmt::format("says that its name is '{0}'; the file must be called {0}.so", info.name));
  }
}

}  // namespace

void throw_plugin_error(const Plugin& plugin, const std::string& what) {
  throw PluginError(
      fmt::format("the {} plugin '{}' ({}) {}", plugin.info->kind, plugin.info->name, plugin.path.string(), what),
      plugin.path);
}

Plugin load_plugin_file(const fs::path& path, PluginTrust trust) {
  // Leaked on purpose: code and constant data of a plugin must outlive every object, exception and tensor deleter that
  // came from it, static ones of other libraries included, so no library is ever closed.
  static auto& libraries = *new std::map<fs::path, boost::dll::shared_library>;
  static std::mutex mutex;
  const std::lock_guard lock{mutex};
  std::error_code error;
  fs::path file = fs::canonical(path, error);
  if (error) fail(path, fmt::format("cannot be read ({}): build it, or name another file", error.message()));
  if (!fs::is_regular_file(file, error)) fail(path, "is not a file");
  if (trust == PluginTrust::own) check_only_ours(file);
  check_whole(file);
  auto library = libraries.find(file);
  if (library == libraries.end()) library = libraries.emplace(file, open_library(file)).first;
  if (!library->second.has(symbol_name))
    fail(path, fmt::format("has no symbol '{}': it is another kind of library", symbol_name));
  const auto& info = library->second.get<const PluginInfo>(symbol_name);
  check_compatible(info, path);
  check_texts(info, path);
  check_options_table(info, path);
  return {.info = &info, .path = path, .digest = digest_file(file)};
}

Plugin load_plugin(const std::string& kind, const std::string& name, std::span<const fs::path> search_path,
                   PluginTrust trust) {
  Plugin plugin = load_plugin_file(find_plugin(kind, name, search_path), trust);
  if (plugin.info->kind != kind) {
    throw PluginError(fmt::format("'{}' ({}) is a {} plugin, and [{}] asks for a {}", name, plugin.path.string(),
                                  plugin.info->kind, section_of(kind), kind),
                      plugin.path);
  }
  return plugin;
}

std::vector<Plugin> list_plugins(std::span<const fs::path> search_path, std::vector<std::string>& problems,
                                 PluginTrust trust) {
  std::vector<Plugin> plugins;
  for (const fs::path& file : plugin_files(search_path)) {
    try {
      plugins.push_back(load_plugin_file(file, trust));
    } catch (const UserError& error) {
      problems.emplace_back(error.what());
    }
  }
  for (const Plugin& plugin : plugins) {
    try {
      find_plugin(plugin.info->kind, plugin.info->name, search_path);
    } catch (const UserError& error) {
      if (std::find(problems.begin(), problems.end(), error.what()) == problems.end())
        problems.emplace_back(error.what());
    }
  }
  return plugins;
}

}  // namespace fedmpi
