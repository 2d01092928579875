#pragma once

#include "fedmpi/error.hpp"
#include "fedmpi/export.hpp"
#include "fedmpi/options.hpp"
#include "fedmpi/version.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

using AnyFactory = void (*)();

// The one symbol a plugin exports, `fedmpi_plugin`. Constant data in C layout, read before any code of the
// plugin is called: abi_version first, for ever; fields are only ever appended.
struct PluginInfo {
  std::uint32_t abi_version;
  std::uint32_t struct_size;
  const char* build_stamp;  // LibTorch, C++ library and its ABI: see version.hpp
  const char* kind;         // "strategy", "model", "dataset", "transport"
  const char* name;         // as in the job file; the file is <name>.so
  const char* version;
  const char* summary;  // one line
  const OptionSpec* options;
  std::uint64_t num_options;
  AnyFactory factory;  // std::unique_ptr<Interface> (*)(const Options&)
};

// Ends a plugin's source file: FEDMPI_PLUGIN(Strategy, FedAvg, "fedavg", "1.0", "one line", options)
// where `options` is a constexpr array of OptionSpec (std::array<OptionSpec, 0> when it takes none).
#define FEDMPI_PLUGIN(Interface, Class, plugin_name, plugin_version, plugin_summary, plugin_options) \
  namespace {                                                                                        \
  std::unique_ptr<fedmpi::Interface> fedmpi_make_plugin(const fedmpi::Options& values) {             \
    return std::make_unique<Class>(values);                                                          \
  }                                                                                                  \
  }                                                                                                  \
  extern "C" FEDMPI_API const fedmpi::PluginInfo fedmpi_plugin{                                      \
      fedmpi::abi_version,                                                                           \
      sizeof(fedmpi::PluginInfo),                                                                    \
      FEDMPI_BUILD_STAMP,                                                                            \
      fedmpi::Interface::plugin_kind,                                                                \
      plugin_name,                                                                                   \
      plugin_version,                                                                                \
      plugin_summary,                                                                                \
      std::data(plugin_options),                                                                     \
      std::size(plugin_options),                                                                     \
      reinterpret_cast<fedmpi::AnyFactory>(&fedmpi_make_plugin)};

// A plugin that was found, checked and loaded. It stays loaded until the process ends: objects, exception
// types and tensors of its making may outlive any handle.
struct Plugin {
  const PluginInfo* info = nullptr;
  std::filesystem::path path;
  std::string digest;  // of the file's bytes: all ranks must have loaded the same
  std::span<const OptionSpec> options() const { return {info->options, info->num_options}; }
};

// Directories searched in order: what the job or the command line names, FEDMPI_PLUGIN_PATH (colon-separated),
// then the program's own. A plugin lies in DIR/strategies, DIR/models, DIR/datasets or DIR/transports, by its kind, or
// in DIR itself. Throws PluginError when a directory that was named does not exist.
FEDMPI_API std::vector<std::filesystem::path> plugin_search_path(std::span<const std::filesystem::path> named);

// Whether to load code that other users could change: a file or a directory that is theirs or that all may write to.
enum class PluginTrust { own, any };

// Finds <name>.so and checks it before any of its code is called. Throws PluginError: not found (listing every
// path tried and the nearest name there is), found twice with different contents, open to others, not a library, a
// library missing that it needs, no symbol, other ABI, other LibTorch, other kind.
FEDMPI_API Plugin load_plugin(const std::string& kind, const std::string& name,
                              std::span<const std::filesystem::path> search_path, PluginTrust trust = PluginTrust::own);

// The same for a file, of any kind and wherever it lies.
FEDMPI_API Plugin load_plugin_file(const std::filesystem::path& file, PluginTrust trust = PluginTrust::own);

// All that can be loaded, in the order of the search; one sentence for each file that cannot, and for each that another
// of its name and kind stands against, goes to `problems`.
FEDMPI_API std::vector<Plugin> list_plugins(std::span<const std::filesystem::path> search_path,
                                            std::vector<std::string>& problems, PluginTrust trust = PluginTrust::own);

// PluginError: "the strategy plugin 'mine' (DIR/mine.so) <what>".
[[noreturn]] FEDMPI_API void throw_plugin_error(const Plugin& plugin, const std::string& what);

// Constructs the plugin's object. What its constructor throws comes out as PluginError with the plugin's name,
// unless it is a UserError already.
template <class Interface>
std::unique_ptr<Interface> make(const Plugin& plugin, const Options& options) {
  using Factory = std::unique_ptr<Interface> (*)(const Options&);
  std::unique_ptr<Interface> object;
  try {
    object = reinterpret_cast<Factory>(plugin.info->factory)(options);
  } catch (const UserError&) {
    throw;
  } catch (const std::exception& error) {
    throw_plugin_error(plugin, "could not be made: " + one_line(error));
  } catch (...) {
    throw_plugin_error(plugin, "could not be made: it threw something that is no std::exception");
  }
  if (!object) throw_plugin_error(plugin, "could not be made: its factory returned nothing");
  return object;
}

}  // namespace fedmpi
