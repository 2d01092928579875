#include "job_text.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/job.hpp"
#include "option_check.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

namespace fedmpi {

namespace {

constexpr std::ptrdiff_t max_job_dots = 4096;

[[noreturn]] void fail(const std::string& where, const std::string& key, const std::string& message) {
  throw ConfigError(where + ": " + message, where, key);
}

std::string position_text(const std::string& source, const toml::source_position& position) {
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

// `partition = { name = "iid" }` or a section [data.partition]: read as `partition = "iid"`.
const toml::node& partition_name(const toml::table& table, const std::string& where, const std::string& source) {
  for (const auto& [key, node] : table) {
    if (key.str() == "name") continue;
    fail(position_text(source, key.source().begin), "data.partition." + std::string{key.str()},
         fmt::format("[data.partition] has no key '{}'; its keys are name", key.str()));
  }
  const toml::node* name = table.get("name");
  if (name == nullptr) fail(where, "data.partition.name", "[data.partition] needs 'name'");
  return *name;
}

void read_section(const toml::table& table, const std::string& name, const std::string& source,
                  JobText::Section& section) {
  for (const auto& [toml_key, node] : table) {
    const std::string key{toml_key.str()};
    const std::string where = position_text(source, toml_key.source().begin);
    const toml::table* nested = name == "data" && key == "partition" ? node.as_table() : nullptr;
    const toml::node& value = nested != nullptr ? partition_name(*nested, where, source) : node;
    section.values.insert_or_assign(key, option_value(value, {where, name, key}));
    section.positions.insert_or_assign(key, where);
  }
}

// The value as TOML; nothing when it is none.
std::optional<OptionValue> toml_value(const std::string& text, const Place& place) {
  try {
    const toml::table parsed = toml::parse("value = " + text);
    if (parsed.size() != 1) return std::nullopt;
    const toml::node& node = *parsed.get("value");
    const toml::table* nested = place.section == "data" && place.key == "partition" ? node.as_table() : nullptr;
    return option_value(nested != nullptr ? partition_name(*nested, place.where, place.where) : node, place);
  } catch (const toml::parse_error&) {
    return std::nullopt;
  }
}

OptionValue override_value(const std::string& text, const Place& place) {
  if (auto value = toml_value(text, place)) return *std::move(value);
  const bool meant_as_toml = !text.empty() && std::string_view{"\"'[{"}.find(text.front()) != std::string_view::npos;
  std::optional<OptionValue> word;
  if (!meant_as_toml) word = toml_value(toml_string(text), place);
  if (!word) {
    fail(place.where, place.section + "." + place.key,
         fmt::format("the value of {}.{} is neither a TOML value nor a bare word", place.section, place.key));
  }
  return *std::move(word);
}

void apply_override(const std::string& argument, JobText& job) {
  const std::string where = "--set";
  const std::size_t equals = argument.find('=');
  const auto path = split(std::string_view{argument}.substr(0, equals), '.');
  const bool is_partition = path.size() == 3 && path[0] == "data" && path[1] == "partition" && path[2] == "name";
  if (equals == std::string::npos || (path.size() != 2 && !is_partition)) {
    fail(where, argument, fmt::format("'{}' is not of the form section.key=value", argument));
  }
  const auto section = job.sections.find(path[0]);
  if (section == job.sections.end()) unknown_section(where, path[0]);
  const std::string& key = path[1];
  section->second.values.insert_or_assign(key, override_value(argument.substr(equals + 1), {where, path[0], key}));
  section->second.positions.insert_or_assign(key, where);
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
    read_section(*node.as_table(), name, source, section->second);
  }
  for (const std::string& argument : overrides) apply_override(argument, job);
  return job;
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
