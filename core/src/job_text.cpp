#include "job_text.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/job.hpp"
#include "option_check.hpp"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

namespace fedmpi {

namespace {

constexpr std::ptrdiff_t max_job_dots = 4096;
constexpr std::size_t max_word = 100;
constexpr const char* on_command_line = "--set";

[[noreturn]] void fail(const std::string& where, const std::string& key, const std::string& message) {
  throw ConfigError(where + ": " + message, where, key);
}

std::string position_text(const std::string& source, const toml::source_position& position) {
  if (source == on_command_line) return source;
  return fmt::format("{}:{}:{}", source, position.line, position.column);
}

// Of one value.
struct Place {
  std::string where;  // "file:line:column" or "--set"
  std::string section;
  std::string key;
};

std::string kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list in a list";
    case toml::node_type::date:
      return "a date";
    case toml::node_type::time:
      return "a time";
    case toml::node_type::date_time:
      return "a date with a time";
    default:
      return "a value of another type";
  }
}

OptionValue list_value(const toml::array& array, const Place& place) {
  const auto all = [&array](auto accepted) {
    for (const toml::node& node : array) {
      if (!accepted(node)) return false;
    }
    return true;
  };
  if (all([](const toml::node& node) { return node.is_integer(); })) {
    std::vector<std::int64_t> values;
    for (const toml::node& node : array) values.push_back(node.value<std::int64_t>().value());
    return values;
  }
  if (all([](const toml::node& node) { return node.is_number(); })) {
    std::vector<double> values;
    for (const toml::node& node : array) values.push_back(node.value<double>().value());
    return values;
  }
  if (all([](const toml::node& node) { return node.is_string(); })) {
    std::vector<std::string> values;
    for (const toml::node& node : array) values.push_back(node.value<std::string>().value());
    return values;
  }
  fail(place.where, place.section + "." + place.key,
       fmt::format("'{}' in [{}] is a list of mixed or unknown things; a list holds only numbers or only strings",
                   place.key, place.section));
}

OptionValue option_value(const toml::node& node, const Place& place) {
  if (const auto* boolean = node.as_boolean()) return boolean->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* string = node.as_string()) return string->get();
  if (const auto* array = node.as_array()) return list_value(*array, place);
  fail(place.where, place.section + "." + place.key,
       fmt::format("'{}' in [{}] is {}; a key's value is true or false, a number, a string or a list of those",
                   place.key, place.section, kind_of(node)));
}

std::vector<std::string> section_names() {
  std::vector<std::string> names;
  for (const JobSection& section : job_sections()) names.emplace_back(section.name);
  return names;
}

[[noreturn]] void unknown_section(const std::string& where, const std::string& name) {
  const auto names = section_names();
  const std::string near = nearest(name, names);
  fail(where, name,
       near.empty() ? fmt::format("there is no section [{}]; the sections are {}", name, fmt::join(names, ", "))
                    : fmt::format("there is no section [{}]; did you mean [{}]?", name, near));
}

[[noreturn]] void outside_section(const std::string& where, const std::string& key) {
  const std::string section = section_with_key(key);
  fail(where, key,
       section.empty() ? fmt::format("'{}' stands outside any section", key)
                       : fmt::format("'{}' stands outside any section; it belongs to {}", key, section));
}

std::string dotted(const JobRules& rules) {
  return fmt::format("{}.{}", rules.section, rules.key);
}

bool names_rule(const std::string& section, const std::string& key) {
  const auto is_it = [&](const JobRules& rules) { return section == rules.section && key == rules.key; };
  return std::ranges::any_of(job_rules(), is_it);
}

// `given` as the value of the key at `place`. A table may be inline or a section of its own, [data.partition].
void read_value(const toml::node& given, const Place& place, const std::string& source, JobText& job,
                JobText::Section& section) {
  if (!names_rule(place.section, place.key)) {
    section.values.insert_or_assign(place.key, option_value(given, place));
    section.positions.insert_or_assign(place.key, place.where);
    return;
  }
  JobText::Section rule{.values = {}, .positions = {}, .position = place.where};
  const std::string name = place.section + "." + place.key;
  if (const toml::table* table = given.as_table()) {
    for (const auto& [key, node] : *table)
      read_value(node, {position_text(source, key.source().begin), name, std::string{key.str()}}, source, job, rule);
  } else {
    rule.values.emplace("name", option_value(given, place));
    rule.positions.emplace("name", place.where);
  }
  job.rules.insert_or_assign(name, std::move(rule));
}

// The rule's name, which is checked as any other key's value, apart from the rule's own keys.
void take_name(const JobRules& rules, JobText& job) {
  const auto found = job.rules.find(dotted(rules));
  if (found == job.rules.end()) return;
  JobText::Section& rule = found->second;
  const auto name = rule.values.extract("name");
  if (name.empty()) {
    const TableContext context{.name = fmt::format("[{}]", found->first),
                               .prefix = found->first + ".",
                               .source = rule.position,
                               .positions = rule.positions,
                               .other_keys = {"name"}};
    for (const auto& [key, value] : rule.values)
      if (!nearest(key, context.other_keys).empty()) throw_unknown_key(context, key, {});
    std::vector<std::string> names;
    for (const JobRule& one : rules.rules) names.emplace_back(one.name);
    throw_config_error(context, "name",
                       fmt::format("{} needs 'name': one of {}", context.name, fmt::join(names, ", ")));
  }
  JobText::Section& section = job.sections.at(rules.section);
  section.values.insert_or_assign(rules.key, name.mapped());
  section.positions.insert_or_assign(rules.key, rule.positions.at("name"));
}

// `text` as the only value of a table; nothing when it is no TOML value.
std::optional<toml::table> toml_value(const std::string& text) {
  try {
    toml::table parsed = toml::parse("value = " + text);
    if (parsed.size() == 1) return parsed;
  } catch (const toml::parse_error&) {  // it may be a word
  }
  return std::nullopt;
}

toml::table override_value(const std::string& text, const Place& place) {
  if (auto value = toml_value(text)) return *std::move(value);
  const bool meant_as_toml = !text.empty() && std::string_view{"\"'[{"}.find(text.front()) != std::string_view::npos;
  std::optional<toml::table> word;
  if (!meant_as_toml) word = toml_value(toml_string(text));
  if (!word) {
    fail(place.where, place.section + "." + place.key,
         fmt::format("the value of {}.{} is neither a TOML value nor a bare word", place.section, place.key));
  }
  return *std::move(word);
}

// Those keys need no section before them: --set seed=3.
bool is_of_run(const std::string& key) {
  const auto is_run = [](const JobSection& section) { return std::string_view(section.name) == "run"; };
  const auto run = std::ranges::find_if(job_sections(), is_run);
  return std::ranges::any_of(run->keys, [&](const OptionSpec& spec) { return key == spec.name; });
}

void apply_override(const std::string& argument, JobText& job) {
  const std::string where = on_command_line;
  const std::size_t equals = argument.find('=');
  auto path = split(std::string_view{argument}.substr(0, equals), '.');
  if (path.size() == 1 && is_of_run(path[0])) path.insert(path.begin(), "run");
  const bool is_of_rule = path.size() == 3 && names_rule(path[0], path[1]);
  if (equals == std::string::npos || (path.size() != 2 && !is_of_rule)) {
    fail(where, argument, fmt::format("'{}' is not of the form section.key=value", argument));
  }
  if (!job.sections.contains(path[0])) unknown_section(where, path[0]);
  const std::string name = is_of_rule ? path[0] + "." + path[1] : path[0];
  const Place place{where, name, path.back()};
  if (is_of_rule) job.rules.try_emplace(name, JobText::Section{.values = {}, .positions = {}, .position = where});
  const toml::table value = override_value(argument.substr(equals + 1), place);
  read_value(*value.get("value"), place, where, job, is_of_rule ? job.rules.at(name) : job.sections.at(name));
}

std::string_view line_of(std::string_view text, std::size_t number) {
  for (; number > 1; --number) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  return text.substr(0, text.find('\n'));
}

// Throws where a value is text without quotes, as in `name = smoke`, of which the library's words say little. It gave
// up at `position`.
void check_quotes(std::string_view text, const std::string& source, toml::source_position position) {
  constexpr std::string_view blanks = " \t\r";
  const std::string_view line = line_of(text, position.line);
  std::size_t begin = std::min<std::size_t>(position.column - 1, line.size());
  while (begin > 0 && std::string_view{" \t=,[{"}.find(line[begin - 1]) == std::string_view::npos) --begin;
  const std::size_t before = line.substr(0, begin).find_last_not_of(blanks);
  if (before == std::string_view::npos || line.find('=') > before) return;
  if (std::string_view{"=,["}.find(line[before]) == std::string_view::npos) return;
  std::string word{line.substr(begin, line.find_first_of(",]}#", begin) - begin)};
  std::erase_if(word, [](char c) { return c == '"' || c == '\''; });
  word.erase(word.find_last_not_of(blanks) + 1);
  const auto is_letter = [](unsigned char c) { return std::isalpha(c) != 0; };
  const bool is_path =
      word.starts_with('/') || word.starts_with('~') || word.starts_with("./") || word.starts_with("../");
  if (word.empty() || word.size() > max_word || (!is_letter(word.front()) && !is_path)) return;
  position.column = static_cast<toml::source_index>(begin + 1);
  std::string small = word;
  std::ranges::transform(small, small.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool is_boolean = small == "true" || small == "false";
  fail(position_text(source, position), "",
       is_boolean ? fmt::format("'{}' is no value: write {}", word, small)
                  : fmt::format("'{}' is no value: text stands in quotes, {}", word, toml_string(word)));
}

toml::table parse_toml(const std::string& text, const std::string& source) {
  if (text.size() > max_job_bytes) {
    fail(source, "", fmt::format("a job file has at most {} bytes, and this one has more", max_job_bytes));
  }
  // Each may be a table in a table (a.b.c = 1), and the library needs stack for each.
  if (std::count(text.begin(), text.end(), '.') > max_job_dots) {
    fail(source, "", fmt::format("a job file has at most {} dots, and this one has more", max_job_dots));
  }
  try {
    return toml::parse(std::string_view{text}, source);
  } catch (const toml::parse_error& error) {
    check_quotes(text, source, error.source().begin);
    fail(position_text(source, error.source().begin), "", std::string{error.description()});
  }
}

}  // namespace

JobText read_job_text(const std::string& text, const std::string& source, std::span<const std::string> overrides) {
  const toml::table document = parse_toml(text, source);
  JobText job;
  for (const std::string& name : section_names()) job.sections[name].position = source;
  for (const auto& [key, node] : document) {
    const std::string name{key.str()};
    const std::string where = position_text(source, key.source().begin);
    const auto section = job.sections.find(name);
    if (section == job.sections.end()) {
      if (node.is_table() || node.is_array_of_tables()) unknown_section(where, name);
      outside_section(where, name);
    }
    if (!node.is_table()) fail(where, name, fmt::format("'{0}' must be a section; begin it with the line [{0}]", name));
    section->second.position = where;
    for (const auto& [inner, value] : *node.as_table())
      read_value(value, {position_text(source, inner.source().begin), name, std::string{inner.str()}}, source, job,
                 section->second);
  }
  for (const std::string& argument : overrides) apply_override(argument, job);
  for (const JobRules& rules : job_rules()) take_name(rules, job);
  return job;
}

std::string full_key(std::string_view key) {
  return key.find('.') == std::string_view::npos && is_of_run(std::string(key)) ? fmt::format("run.{}", key)
                                                                                : std::string(key);
}

std::string section_with_key(std::string_view key) {
  for (const JobSection& section : job_sections()) {
    for (const OptionSpec& spec : section.keys) {
      if (key == spec.name) return fmt::format("[{}]", section.name);
    }
  }
  return "";
}

std::string toml_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      result += fmt::format("\\u{:04X}", byte);
    } else {
      result += c;
    }
  }
  return result + '"';
}

}  // namespace fedmpi
