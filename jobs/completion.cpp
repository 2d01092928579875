#include "completion.hpp"

#include "fedmpi/job.hpp"

#include <set>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

std::vector<std::string> words_of(const CLI::App& verb) {
  std::vector<std::string> words;
  for (const CLI::App* inner : verb.get_subcommands({})) words.push_back(inner->get_name());
  for (const CLI::Option* option : verb.get_options())
    for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
  return words;
}

// A line of the script for each verb: what may come after it.
std::string cases(const CLI::App& verb, const std::string& path) {
  std::string text = fmt::format("    '{}') words='{}' ;;\n", path, fmt::join(words_of(verb), " "));
  for (const CLI::App* inner : verb.get_subcommands({}))
    text += cases(*inner, path + (path.empty() ? "" : " ") + inner->get_name());
  return text;
}

// All that --set takes: the keys of sections, those that need no section before them also without it, of rules and of
// plugins.
std::set<std::string> keys(std::span<const Plugin> plugins) {
  std::set<std::string> all;
  const auto add = [&](const std::string& table, std::span<const OptionSpec> options) {
    for (const OptionSpec& key : options) all.insert(fmt::format("{}.{}=", table, key.name));
  };
  for (const JobSection& section : job_sections()) {
    add(section.name, section.keys);
    for (const OptionSpec& key : section.keys)
      if (full_key(key.name) == fmt::format("{}.{}", section.name, key.name)) all.insert(fmt::format("{}=", key.name));
  }
  for (const JobRules& rules : job_rules()) {
    const std::string table = fmt::format("{}.{}", rules.section, rules.key);
    all.insert(table + ".name=");
    for (const JobRule& rule : rules.rules) add(table, rule.keys);
  }
  for (const Plugin& plugin : plugins)
    add(std::string_view(plugin.info->kind) == "dataset" ? "data" : plugin.info->kind, plugin.options());
  return all;
}

// Words begin with a letter until the first option; the verbs among them say where we are.
constexpr const char* script = R"(_fedmpi() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} path='' words='' i
  COMPREPLY=()
  case $previous in
    --set | --sweep)
      compopt -o nospace
      COMPREPLY=($(compgen -W '{}' -- "$current"))
      return ;;
  esac
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "$path${{path:+ }}${{COMP_WORDS[i]}}" in
      {}) path="$path${{path:+ }}${{COMP_WORDS[i]}}" ;;
      *) break ;;
    esac
  done
  case $path in
{}  esac
  # Where only options are left, what is being written may be a file's name.
  if [[ $current == -* || $words != -* ]]; then COMPREPLY=($(compgen -W "$words" -- "$current")); fi
}}
complete -o bashdefault -o default -F _fedmpi fedmpi
)";

void add_paths(const CLI::App& verb, const std::string& path, std::vector<std::string>& all) {
  for (const CLI::App* inner : verb.get_subcommands({})) {
    const std::string name = path + (path.empty() ? "" : " ") + inner->get_name();
    all.push_back(fmt::format("'{}'", name));
    add_paths(*inner, name, all);
  }
}

}  // namespace

std::string bash_completion(const CLI::App& program, std::span<const Plugin> plugins) {
  std::vector<std::string> paths;
  add_paths(program, "", paths);
  return fmt::format(script, fmt::join(keys(plugins), " "), fmt::join(paths, " | "), cases(program, ""));
}

}  // namespace fedmpi
