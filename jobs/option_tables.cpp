#include "option_tables.hpp"

#include "fedmpi/job.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fedmpi {

namespace {

using Json = nlohmann::ordered_json;

Json option_json(const OptionSpec& spec) {
  Json json{{"name", spec.name}, {"type", short_type(spec.type)}, {"required", spec.default_value == nullptr}};
  if (spec.default_value != nullptr) json["default"] = spec.default_value;
  if (std::isfinite(spec.minimum)) json["minimum"] = spec.minimum;
  if (std::isfinite(spec.maximum)) json["maximum"] = spec.maximum;
  if (spec.choices != nullptr) json["choices"] = spec.choices;
  json["help"] = spec.help;
  return json;
}

// A bar would end a cell.
std::string cell(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '|' ? std::string("\\|") : std::string(1, c);
  return result;
}

std::string markdown_table(std::span<const OptionSpec> table) {
  if (table.empty()) return "";
  std::string text = "\n| key | type | default | |\n|---|---|---|---|\n";
  for (const OptionSpec& spec : table) {
    const bool is_value = spec.default_value != nullptr && *spec.default_value != '\0';
    const std::string value = default_text(spec);
    text += fmt::format("| `{}` | {} | {} | {} |\n", spec.name, short_type(spec.type),
                        is_value ? fmt::format("`{}`", cell(value)) : value, cell(help_with_range(spec)));
  }
  return text;
}

std::string plugin_sections(std::span<const Plugin> plugins, const std::string& kind, const std::string& section) {
  std::vector<const Plugin*> chosen;
  for (const Plugin& plugin : plugins)
    if (plugin.info->kind == kind) chosen.push_back(&plugin);
  std::ranges::sort(chosen, {}, [](const Plugin* plugin) { return std::string(plugin->info->name); });
  std::string text;
  for (const Plugin* plugin : chosen)
    text += fmt::format("\n### {}.name = \"{}\"\n\n{}.\n{}", section, plugin->info->name, plugin->info->summary,
                        markdown_table(plugin->options()));
  return text;
}

std::string rule_sections(const std::string& section) {
  std::string text;
  for (const JobRules& rules : job_rules()) {
    if (section != rules.section) continue;
    for (const JobRule& rule : rules.rules)
      text += fmt::format("\n### {}.{} = \"{}\"\n\n{}.\n{}", rules.section, rules.key, rule.name, rule.help,
                          markdown_table(rule.keys));
  }
  return text;
}

}  // namespace

const char* short_type(OptionType type) {
  switch (type) {
    case OptionType::boolean:
      return "boolean";
    case OptionType::integer:
      return "integer";
    case OptionType::number:
      return "number";
    case OptionType::string:
      return "string";
    case OptionType::integers:
      return "integers";
    case OptionType::numbers:
      return "numbers";
    case OptionType::strings:
      return "strings";
  }
  return "unknown";
}

std::string default_text(const OptionSpec& spec) {
  if (spec.default_value == nullptr) return "required";
  if (spec.type == OptionType::string) return fmt::format("\"{}\"", spec.default_value);
  return *spec.default_value == '\0' ? "may be left out" : spec.default_value;
}

std::string help_with_range(const OptionSpec& spec) {
  const std::string range = describe_range(spec);
  return range.empty() ? spec.help : fmt::format("{} ({})", spec.help, range);
}

void print_options(std::span<const OptionSpec> table) {
  for (const OptionSpec& spec : table)
    fmt::print("    {:<26} {:<9} {:<16} {}\n", spec.name, short_type(spec.type), default_text(spec),
               help_with_range(spec));
}

Json options_json(std::span<const OptionSpec> table) {
  Json options = Json::array();
  for (const OptionSpec& spec : table) options.push_back(option_json(spec));
  return options;
}

std::string keys_page(std::span<const Plugin> plugins) {
  std::string text =
      "# What a job may say\n\n"
      "Every key of a job file, from the program's own tables: `fedmpi manual keys` writes this page. `fedmpi plugins` "
      "has the same\nfor the plugins that are installed, yours among them. A key is given in the file, or for one run "
      "by "
      "`--set section.key=value`.\n";
  for (const JobSection& section : job_sections()) {
    const std::string name = section.name;
    text += fmt::format("\n## [{}]\n{}", name, markdown_table(section.keys)) + rule_sections(name);
    text += plugin_sections(plugins, name == "data" ? "dataset" : name, name);
  }
  return text;
}

}  // namespace fedmpi
