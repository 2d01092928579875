#include "fedmpi/plugin.hpp"

#include "fedmpi/strategy.hpp"
#include "temporary_directory.hpp"

#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

namespace fs = std::filesystem;

const std::vector<fs::path> search_path{FEDMPI_TEST_PLUGINS};

std::string error_of(const std::string& kind, const std::string& name) {
  try {
    load_plugin(kind, name, search_path);
  } catch (const PluginError& error) {
    return error.what();
  }
  return "no error";
}

std::string file(const std::string& name) {
  return (fs::path{FEDMPI_TEST_PLUGINS} / (name + ".so")).string();
}

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST(Plugin, IsReadBeforeItIsMade) {
  const Plugin plugin = load_plugin("strategy", "idle", search_path);
  EXPECT_STREQ(plugin.info->name, "idle");
  EXPECT_STREQ(plugin.info->summary, "does nothing");
  EXPECT_EQ(plugin.path, file("idle"));
  ASSERT_EQ(plugin.options().size(), 5u);
  EXPECT_STREQ(plugin.options()[2].name, "rate");
  EXPECT_EQ(plugin.digest.size(), 32u);
  const auto strategy = make<Strategy>(plugin, Options{plugin.options(), {}, "test"});
  FitRecord record;
  record.num_examples = 7;
  EXPECT_EQ(strategy->weight(record), 7.0);
}

TEST(Plugin, LoadedTwiceIsTheSame) {
  EXPECT_EQ(load_plugin("strategy", "idle", search_path).info, load_plugin("strategy", "idle", search_path).info);
}

TEST(Plugin, ThatStandsTwiceInTheSearchPathMustBeTheSameFile) {
  const TemporaryDirectory directory;
  fs::create_directory(directory / "strategies");
  const fs::path first = directory / "strategies" / "idle.so", second = directory / "idle.so";
  fs::copy_file(file("idle"), first);
  fs::copy_file(file("idle"), second);
  const std::vector<fs::path> there{directory.path(), directory.path()};
  EXPECT_EQ(load_plugin("strategy", "idle", there).path, first);
  std::ofstream(second, std::ios::app) << "more";
  const std::string twice = "there are two strategy plugins 'idle' that are not the same, " + first.string() + " and " +
                            second.string() + ": remove or rename one of them";
  try {
    load_plugin("strategy", "idle", there);
    FAIL();
  } catch (const PluginError& error) {
    EXPECT_EQ(error.what(), twice);
  }
  std::vector<std::string> problems;
  EXPECT_EQ(list_plugins(there, problems).size(), 2u);
  EXPECT_EQ(problems, std::vector{twice});
  fs::remove(second);
  fs::create_symlink("nowhere", second);
  EXPECT_THROW(load_plugin("strategy", "idle", there), PluginError);
  fs::remove(first);
  EXPECT_THROW(load_plugin("strategy", "idle", there), PluginError);
}

TEST(Plugin, MayBeLoadedByItsPath) {
  EXPECT_EQ(load_plugin_file(file("idle")).info, load_plugin("strategy", "idle", search_path).info);
  EXPECT_THROW(load_plugin_file(file("not_there")), PluginError);
}

TEST(Plugin, MayLieInTheDirectoryOfItsKind) {
  EXPECT_EQ(load_plugin("strategy", "sorted", search_path).path, search_path[0] / "strategies" / "sorted.so");
}

TEST(Plugin, CodeThatAllMayChangeIsNotLoaded) {
  const TemporaryDirectory directory;
  const fs::path copy = directory / "idle.so";
  fs::copy_file(file("idle"), copy);
  const std::vector<fs::path> there{directory.path()};
  const auto refusal = [&] {
    try {
      load_plugin("strategy", "idle", there);
    } catch (const PluginError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  fs::permissions(copy, fs::perms::others_write, fs::perm_options::add);
  EXPECT_CONTAINS(refusal(), "the file may be written to by all");
  fs::permissions(copy, fs::perms::others_write, fs::perm_options::remove);
  fs::permissions(directory.path(), fs::perms::others_write, fs::perm_options::add);
  EXPECT_CONTAINS(refusal(), "its directory may be written to by all");
  std::vector<std::string> problems;
  EXPECT_TRUE(list_plugins(there, problems).empty());
  EXPECT_EQ(problems.size(), 1u);
  EXPECT_EQ(load_plugin("strategy", "idle", there, PluginTrust::any).path, copy);
  fs::permissions(directory.path(), fs::perms::others_write, fs::perm_options::remove);
  EXPECT_EQ(refusal(), "");
}

TEST(Plugin, NotFoundNamesEveryPathAndTheNearest) {
  const std::string directory = FEDMPI_TEST_PLUGINS;
  EXPECT_EQ(error_of("strategy", "idel"), "there is no strategy plugin 'idel'; did you mean 'idle'? (tried " +
                                              directory + "/strategies/idel.so, " + directory + "/idel.so)");
  EXPECT_EQ(error_of("model", "quite_another"), "there is no model plugin 'quite_another' (tried " + directory +
                                                    "/models/quite_another.so, " + directory + "/quite_another.so)");
}

TEST(Plugin, ANameIsNotAPath) {
  EXPECT_CONTAINS(error_of("strategy", "../idle"), "'../idle' cannot be the name of a strategy plugin");
  EXPECT_CONTAINS(error_of("strategy", ""), "'' cannot be the name of a strategy plugin");
}

TEST(Plugin, RefusesWhatIsNoLibrary) {
  EXPECT_EQ(error_of("strategy", "not_a_library"),
            "the plugin " + file("not_a_library") + " cannot be loaded: invalid ELF header");
  EXPECT_CONTAINS(error_of("strategy", "unresolved"), "undefined symbol: fedmpi_test_missing_function");
}

TEST(Plugin, NamesTheLibraryThatIsMissing) {
  const fs::path incomplete = fs::path{FEDMPI_TEST_PLUGINS}.parent_path() / "incomplete" / "missing_dependency.so";
  try {
    load_plugin_file(incomplete);
    FAIL();
  } catch (const PluginError& error) {
    EXPECT_EQ(error.what(), "the plugin " + incomplete.string() +
                                " needs the library libfedmpi_test_absent.so, which is not there: install it, or name "
                                "its directory in LD_LIBRARY_PATH");
  }
}

TEST(Plugin, RefusesALibraryThatIsNoPlugin) {
  EXPECT_EQ(error_of("strategy", "no_symbol"),
            "the plugin " + file("no_symbol") + " has no symbol 'fedmpi_plugin': it is another kind of library");
}

TEST(Plugin, RefusesAnotherAbiSizeAndBuild) {
  EXPECT_CONTAINS(error_of("strategy", "wrong_abi"),
                  "was built for plugin ABI " + std::to_string(abi_version + 1) + " and this program has ");
  EXPECT_CONTAINS(error_of("strategy", "short_info"), "bytes where this program reads");
  const std::string stamp = error_of("strategy", "wrong_stamp");
  EXPECT_CONTAINS(stamp, "torch=1.0");
  EXPECT_CONTAINS(stamp, FEDMPI_BUILD_STAMP);
}

TEST(Plugin, RefusesAnotherKind) {
  EXPECT_EQ(error_of("model", "idle"),
            "'idle' (" + file("idle") + ") is a strategy plugin, and [model] asks for a model");
  EXPECT_CONTAINS(error_of("dataset", "sorted"), "is a strategy plugin, and [data] asks for a dataset");
}

TEST(Plugin, RefusesAnotherName) {
  EXPECT_EQ(
      error_of("strategy", "wrong_name"),
      "the plugin " + file("wrong_name") + " says that its name is 'another'; the file must be called another.so");
}

TEST(Plugin, RefusesABrokenOptionsTable) {
  EXPECT_CONTAINS(error_of("strategy", "bad_default"), "the default of option 'rate' must be between 0 and 1, not 2");
  EXPECT_CONTAINS(error_of("strategy", "nameless_option"), "has a broken options table: an option has no name");
  EXPECT_CONTAINS(error_of("strategy", "core_option"), "declares the option 'name', which is the program's own key");
}

TEST(Plugin, AMisspeltOptionNamesTheNearest) {
  const Plugin plugin = load_plugin("strategy", "idle", search_path);
  try {
    Options{plugin.options(), {{"rat", 0.1}}, "[strategy] in a.toml"};
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "[strategy] in a.toml has no key 'rat'; did you mean 'rate'?");
  }
}

TEST(Plugin, WhatItsConstructorThrowsNamesIt) {
  const Plugin plugin = load_plugin("strategy", "idle", search_path);
  try {
    make<Strategy>(plugin, Options{plugin.options(), {{"throw", true}}, "test"});
    FAIL();
  } catch (const PluginError& error) {
    EXPECT_EQ(error.what(),
              "the strategy plugin 'idle' (" + file("idle") + ") could not be made: the constructor did not like it");
  }
  PluginInfo info = *plugin.info;
  const Plugin odd{.info = &info, .path = "odd.so", .digest = ""};
  const auto message = [&](std::unique_ptr<Strategy> (*factory)(const Options&)) {
    info.factory = reinterpret_cast<AnyFactory>(factory);
    try {
      make<Strategy>(odd, Options{plugin.options(), {}, "test"});
    } catch (const PluginError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message([](const Options&) -> std::unique_ptr<Strategy> { throw 7; }),
            "the strategy plugin 'idle' (odd.so) could not be made: it threw something that is no std::exception");
  EXPECT_EQ(message([](const Options&) { return std::unique_ptr<Strategy>(); }),
            "the strategy plugin 'idle' (odd.so) could not be made: its factory returned nothing");
  try {
    make<Strategy>(plugin, Options{plugin.options(), {{"refuse", true}}, "test"});
    FAIL();
  } catch (const UserError& error) {  // thrown in another shared object: its type must be the same one here
    EXPECT_STREQ(error.what(), "asked to refuse");
  }
}

TEST(Plugin, ListingReportsWhatCannotBeUsed) {
  std::vector<std::string> problems;
  const std::vector<fs::path> twice{FEDMPI_TEST_PLUGINS, FEDMPI_TEST_PLUGINS};
  const auto plugins = list_plugins(twice, problems);
  ASSERT_EQ(plugins.size(), 2u);
  EXPECT_STREQ(plugins[0].info->name, "sorted");
  EXPECT_STREQ(plugins[1].info->name, "idle");
  EXPECT_EQ(problems.size(), 10u);
}

TEST(Plugin, SearchPathIsNamedThenEnvironmentThenTheProgramsOwn) {
  const std::vector<fs::path> named{"/tmp"};
  ::setenv("FEDMPI_PLUGIN_PATH", "/usr::/etc", 1);
  const auto path = plugin_search_path(named);
  ::setenv("FEDMPI_PLUGIN_PATH", "/usr:/not/there", 1);
  EXPECT_THROW(plugin_search_path({}), PluginError);
  ::unsetenv("FEDMPI_PLUGIN_PATH");
  ASSERT_EQ(path.size(), 5u);
  EXPECT_EQ(path[0], "/tmp");
  EXPECT_EQ(path[1], "/usr");
  EXPECT_EQ(path[2], "/etc");
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
  EXPECT_EQ(path[3], program / "plugins");
  EXPECT_EQ(path[4], program / "lib" / "fedmpi" / "plugins");
  const std::vector<fs::path> missing{"/not/there"};
  EXPECT_THROW(plugin_search_path(missing), PluginError);
}

}  // namespace
}  // namespace fedmpi
