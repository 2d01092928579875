#include "plugins_command.hpp"

#include "fedmpi/job.hpp"
#include "fedmpi/plugin.hpp"
#include "option_tables.hpp"
#include "plugin_check.hpp"

#include <span>
#include <system_error>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fedmpi {

namespace {

using Json = nlohmann::ordered_json;

struct PluginsArguments {
  std::string directory;
  std::vector<std::filesystem::path> searched_first;
  bool json = false;
  bool trust = false;
};

Json plugin_json(const Plugin& plugin) {
  return {{"name", plugin.info->name},
          {"kind", plugin.info->kind},
          {"version", plugin.info->version},
          {"path", plugin.path.string()},
          {"digest", plugin.digest},
          {"summary", plugin.info->summary},
          {"options", options_json(plugin.options())}};
}

Json rules_json() {
  Json json = Json::array();
  for (const JobRules& rules : job_rules())
    for (const JobRule& rule : rules.rules)
      json.push_back({{"key", fmt::format("{}.{}", rules.section, rules.key)},
                      {"name", rule.name},
                      {"summary", rule.help},
                      {"options", options_json(rule.keys)}});
  return json;
}

void print_plugin(const Plugin& plugin) {
  fmt::print("{} {} {}\n  {}\n  {}\n", plugin.info->kind, plugin.info->name, plugin.info->version, plugin.info->summary,
             plugin.path.string());
  print_options(plugin.options());
}

Json sections_json() {
  Json json = Json::array();
  for (const JobSection& section : job_sections())
    json.push_back({{"name", section.name}, {"options", options_json(section.keys)}});
  return json;
}

void print_sections() {
  for (const JobSection& section : job_sections()) {
    fmt::print("[{}]\n", section.name);
    print_options(section.keys);
  }
}

void print_rules() {
  for (const JobRules& rules : job_rules()) {
    for (const JobRule& rule : rules.rules) {
      fmt::print("{}.{} {}\n  {}\n", rules.section, rules.key, rule.name, rule.help);
      print_options(rule.keys);
    }
  }
}

std::vector<std::filesystem::path> directories(const PluginsArguments& arguments) {
  if (arguments.directory.empty()) return plugin_search_path(arguments.searched_first);
  std::error_code error;
  if (!std::filesystem::is_directory(arguments.directory, error)) {
    throw PluginError(fmt::format("{} is not a directory", arguments.directory), arguments.directory);
  }
  return {arguments.directory};
}

void list(const PluginsArguments& arguments) {
  std::vector<std::string> problems;
  const std::vector<Plugin> plugins =
      list_plugins(directories(arguments), problems, arguments.trust ? PluginTrust::any : PluginTrust::own);
  if (arguments.json) {
    Json json{{"plugins", Json::array()}, {"problems", problems}};
    for (const Plugin& plugin : plugins) json["plugins"].push_back(plugin_json(plugin));
    if (arguments.directory.empty()) json["sections"] = sections_json();
    if (arguments.directory.empty()) json["rules"] = rules_json();
    fmt::print("{}\n", json.dump(2));
    return;
  }
  for (const Plugin& plugin : plugins) print_plugin(plugin);
  if (plugins.empty()) fmt::print("no plugins\n");
  if (arguments.directory.empty()) {
    print_sections();
    print_rules();
  }
  for (const std::string& problem : problems) fmt::print("not usable: {}\n", problem);
}

}  // namespace

void add_plugins_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "plugins", "what is installed, where, which version, which options it takes; then a job's own keys and rules");
  const auto many = [command](const char* name, const char* help, const char* type) {
    return command->add_option(name)->description(help)->type_name(type)->allow_extra_args(false)->multi_option_policy(
        CLI::MultiOptionPolicy::TakeAll);
  };
  CLI::Option* directory = command->add_option("directory")->description("only the plugins in this directory");
  CLI::Option* plugins = many("--plugins", "look for plugins here first (repeatable)", "DIR")->excludes(directory);
  CLI::Option* check = command->add_option("--check")
                           ->description("check that this plugin keeps to all that is asked of its kind")
                           ->type_name("FILE")
                           ->excludes(directory)
                           ->excludes(plugins);
  many("--set", "for --check: an option of the plugin, or a key of the job it is tried in (repeatable)", "KEY=VALUE")
      ->needs(check);
  command->add_flag("--json")->description("as JSON");
  command->add_flag("--trust-plugins")->description("also those that other users could change");
  command->footer(
      "Examples:\n"
      "  fedmpi plugins --plugins mine/build/plugins\n"
      "  fedmpi plugins --check mine/build/plugins/mine.so --set server_learning_rate=0.5");
  command->callback([command] {
    const bool json = command->count("--json") > 0, trust = command->count("--trust-plugins") > 0;
    const auto all = [command](const char* name) {
      return command->count(name) > 0 ? (*command)[name]->results() : std::vector<std::string>();
    };
    if (command->count("--check") > 0) {
      check_plugin_file({.file = all("--check").front(), .settings = all("--set"), .json = json, .trust = trust});
      return;
    }
    PluginsArguments arguments{.directory = "", .searched_first = {}, .json = json, .trust = trust};
    if (command->count("directory") > 0) arguments.directory = all("directory").front();
    for (const std::string& path : all("--plugins")) arguments.searched_first.emplace_back(path);
    list(arguments);
  });
}

}  // namespace fedmpi
