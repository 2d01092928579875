#include "rule_choice.hpp"

#include "fedmpi/digest.hpp"
#include "fedmpi/error.hpp"
#include "file_error.hpp"
#include "option_check.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

constexpr std::uintmax_t max_rule_file_bytes = std::uintmax_t{1} << 30;

const JobRule& rule_named(const std::string& table, const std::string& name) {
  for (const JobRules& rules : job_rules()) {
    if (table != fmt::format("{}.{}", rules.section, rules.key)) continue;
    for (const JobRule& rule : rules.rules)
      if (name == rule.name) return rule;
  }
  throw std::logic_error(fmt::format("there is no rule '{}' for {}", name, table));
}

// The rules that have a key of this name, else the section.
std::string rules_with_key(std::string_view key) {
  std::vector<std::string> names;
  for (const JobRules& rules : job_rules()) {
    for (const JobRule& rule : rules.rules) {
      if (std::ranges::any_of(rule.keys, [&](const OptionSpec& spec) { return key == spec.name; }))
        names.push_back(fmt::format("\"{}\"", rule.name));
    }
  }
  return names.empty() ? section_with_key(key) : fmt::format("the rule {}", fmt::join(names, " or "));
}

// A single number where the table has a list.
OptionValue as_list(const OptionValue& value, OptionType type) {
  const auto* integer = std::get_if<std::int64_t>(&value);
  const auto* number = std::get_if<double>(&value);
  if (integer != nullptr && (type == OptionType::integers || type == OptionType::numbers))
    return std::vector<std::int64_t>{*integer};
  if (number != nullptr && type == OptionType::numbers) return std::vector<double>{*number};
  return value;
}

std::string read_file(const RuleChoice& rule, const std::filesystem::path& path) {
  std::error_code error;
  const auto subject = [&] { return fmt::format("'file' in [{}]: {}", rule.table, path.string()); };
  if (!std::filesystem::exists(path, error)) refuse(rule, "file", subject() + " is not there");
  if (!std::filesystem::is_regular_file(path, error)) refuse(rule, "file", subject() + " is not a file");
  if (std::filesystem::file_size(path, error) > max_rule_file_bytes || error)
    refuse(rule, "file", fmt::format("{} has more than the {} bytes that are read", subject(), max_rule_file_bytes));
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) refuse(rule, "file", subject() + " cannot be read: " + errno_message());
  return text;
}

void load_file(RuleChoice& rule) {
  if (!rule.options.has("file")) return;
  const std::string path = rule.options.get<std::string>("file"), before = rule.options.get<std::string>("file_digest");
  rule.file_text = read_file(rule, path);
  const std::string now = digest(rule.file_text);
  if (!before.empty() && before != now)
    refuse(rule, "file_digest",
           fmt::format("{} is not the file it was: its digest is {:.12}, and [{}] has file_digest = \"{:.12}\": bring "
                       "back the file or leave that key out",
                       path, now, rule.table, before));
  std::map<std::string, OptionValue> values = rule.options.values();
  values["file_digest"] = now;
  rule.options = Options{rule_named(rule.table, rule.name).keys, std::move(values), fmt::format("[{}]", rule.table)};
}

}  // namespace

RuleChoice read_rule(const JobText& text, const std::string& section, const std::string& key, const std::string& name) {
  RuleChoice choice{.name = name, .table = section + "." + key};
  const JobRule& rule = rule_named(choice.table, name);
  JobText::Section given{.values = {}, .positions = {}, .position = text.sections.at(section).position};
  if (const auto found = text.rules.find(choice.table); found != text.rules.end()) given = found->second;
  for (const OptionSpec& spec : rule.keys) {
    const auto value = given.values.find(spec.name);
    if (value != given.values.end()) value->second = as_list(value->second, spec.type);
  }
  const TableContext context{.name = fmt::format("[{}]", choice.table),
                             .prefix = choice.table + ".",
                             .source = given.position,
                             .positions = given.positions,
                             .other_keys = {"name"},
                             .elsewhere = rules_with_key};
  choice.options = Options{rule.keys, check_options(rule.keys, std::move(given.values), context), context.name};
  choice.where = std::move(given.positions);
  choice.where.try_emplace("name", given.position);
  return choice;
}

void load_rule_files(Job& job) {
  load_file(job.data.partition);
  load_file(job.federation.sampling);
}

void refuse(const RuleChoice& rule, const std::string& key, const std::string& message) {
  throw_config_error({.name = fmt::format("[{}]", rule.table),
                      .prefix = rule.table + ".",
                      .source = rule.where.at("name"),
                      .positions = rule.where},
                     key, message);
}

void refuse_file(const RuleChoice& rule, const std::string& what) {
  throw file_error(rule.options.get<std::string>("file"), what);
}

}  // namespace fedmpi
