#include "manual_command.hpp"

#include "completion.hpp"
#include "fedmpi/plugin.hpp"
#include "man_page.hpp"
#include "option_tables.hpp"

#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace fedmpi {

namespace {

std::vector<Plugin> installed_plugins() {
  std::vector<std::string> problems;
  return list_plugins(plugin_search_path({}), problems);
}

}  // namespace

void add_manual_command(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("manual", "the manual page, completion for bash, or the page of all keys of a job");
  command->require_subcommand(1);
  command->add_subcommand("page", "for man: fedmpi manual page | man -l -")->callback([&program] {
    fmt::print("{}", man_page(program));
  });
  command->add_subcommand("completion", "for bash: source <(fedmpi manual completion)")->callback([&program] {
    fmt::print("{}", bash_completion(program, installed_plugins()));
  });
  command->add_subcommand("keys", "as Markdown: what a job file and the installed plugins take")->callback([] {
    fmt::print("{}", keys_page(installed_plugins()));
  });
}

}  // namespace fedmpi
