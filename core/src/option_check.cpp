#include "option_check.hpp"

#include "fedmpi/error.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

template <class T>
std::optional<OptionValue> parse_list(std::string_view text) {
  std::vector<T> values;
  for (const std::string& part : split(text, ',')) {
    const auto value = parse_number<T>(part);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  return values;
}

template <class T>
std::optional<OptionValue> optional_value(std::optional<T> value) {
  if (!value) return std::nullopt;
  return OptionValue{*value};
}

std::optional<OptionValue> parse_default(const OptionSpec& spec) {
  const std::string_view text = spec.default_value;
  switch (spec.type) {
    case OptionType::boolean:
      if (text != "true" && text != "false") return std::nullopt;
      return OptionValue{text == "true"};
    case OptionType::integer:
      return optional_value(parse_number<std::int64_t>(text));
    case OptionType::number:
      return optional_value(parse_number<double>(text));
    case OptionType::string:
      return OptionValue{std::string{text}};
    case OptionType::integers:
      return parse_list<std::int64_t>(text);
    case OptionType::numbers:
      return parse_list<double>(text);
    case OptionType::strings:
      return OptionValue{split(text, ',')};
  }
  return std::nullopt;
}

bool may_be_left_out(const OptionSpec& spec) {
  return spec.default_value != nullptr && *spec.default_value == '\0' && spec.type != OptionType::string;
}

// In the type the table asks for: an integer is a number, and an empty list is a list of anything.
std::optional<OptionValue> as_type(OptionValue value, OptionType type) {
  const auto* integer = std::get_if<std::int64_t>(&value);
  if (type == OptionType::number && integer != nullptr) return static_cast<double>(*integer);
  if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&value)) {
    if (type == OptionType::numbers) return std::vector<double>(integers->begin(), integers->end());
    if (type == OptionType::strings && integers->empty()) return std::vector<std::string>{};
  }
  if (value.index() == static_cast<std::size_t>(type)) return value;
  return std::nullopt;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t longest = 60;
  return text.size() <= longest ? fmt::format("\"{}\"", text) : fmt::format("\"{}...\"", text.substr(0, longest));
}

std::string describe(const OptionValue& value) {
  return std::visit(
      [](const auto& held) -> std::string {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, bool>) {
          return held ? "true" : "false";
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
          return fmt::format("the integer {}", held);
        } else if constexpr (std::is_same_v<T, double>) {
          return fmt::format("the number {}", held);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return fmt::format("the string {}", in_quotes(held));
        } else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) {
          return held.empty() ? "an empty list" : "a list of integers";
        } else if constexpr (std::is_same_v<T, std::vector<double>>) {
          return "a list of numbers";
        } else {
          return "a list of strings";
        }
      },
      value);
}

std::string number_defect(const OptionSpec& spec, double value) {
  if (!std::isfinite(value)) return fmt::format("must be a finite number, not {}", value);
  if (value >= spec.minimum && value <= spec.maximum) return "";
  return fmt::format("must be {}, not {}", describe_range(spec), number_text(value));
}

std::string string_defect(const OptionSpec& spec, const std::string& value) {
  if (spec.choices == nullptr) return "";
  const auto choices = split(spec.choices, '|');
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return "";
  const std::string near = nearest(value, choices);
  return fmt::format("must be {}, not {}{}", describe_range(spec), in_quotes(value),
                     near.empty() || choices.size() == 1 ? "" : fmt::format("; did you mean \"{}\"?", near));
}

// What is wrong with a value that already has the right type; "" when nothing.
std::string value_defect(const OptionSpec& spec, const OptionValue& value) {
  return std::visit(
      [&spec](const auto& held) -> std::string {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, bool>) {
          return "";
        } else if constexpr (std::is_same_v<T, std::string>) {
          return string_defect(spec, held);
        } else if constexpr (std::is_arithmetic_v<T>) {
          return number_defect(spec, static_cast<double>(held));
        } else {
          for (const auto& element : held) {
            const std::string defect = value_defect(spec, OptionValue{element});
            if (!defect.empty()) return "holds an element that " + defect;
          }
          return "";
        }
      },
      value);
}

std::string row_defect(const OptionSpec& spec) {
  if (spec.name == nullptr || *spec.name == '\0') return "an option has no name";
  if (spec.help == nullptr) return fmt::format("option '{}' has no help", spec.name);
  if (spec.type > OptionType::strings) return fmt::format("option '{}' has an unknown type", spec.name);
  if (spec.default_value == nullptr || may_be_left_out(spec)) return "";
  const auto value = parse_default(spec);
  if (!value) return fmt::format("the default of option '{}' is not {}", spec.name, type_name(spec.type));
  const std::string defect = value_defect(spec, *value);
  return defect.empty() ? "" : fmt::format("the default of option '{}' {}", spec.name, defect);
}

}  // namespace

void throw_config_error(const TableContext& context, const std::string& key, const std::string& message) {
  const auto position = context.positions.find(key);
  const std::string where = position != context.positions.end() ? position->second : context.source;
  throw ConfigError(where.empty() ? message : where + ": " + message, where.empty() ? context.name : where,
                    context.prefix + key);
}

void throw_unknown_key(const TableContext& context, const std::string& key, std::span<const OptionSpec> table) {
  std::vector<std::string> names = context.other_keys;
  for (const OptionSpec& spec : table) names.emplace_back(spec.name);
  const std::string near = nearest(key, names);
  const std::string elsewhere = context.elsewhere != nullptr ? context.elsewhere(key) : "";
  std::string advice = "it takes none";
  if (!elsewhere.empty()) {
    advice = fmt::format("it belongs to {}", elsewhere);
  } else if (!near.empty()) {
    advice = fmt::format("did you mean '{}'?", near);
  } else if (!names.empty()) {
    advice = fmt::format("its keys are {}", fmt::join(names, ", "));
  }
  throw_config_error(context, key, fmt::format("{} has no key '{}'; {}", context.name, key, advice));
}

std::map<std::string, OptionValue> check_options(std::span<const OptionSpec> table,
                                                 std::map<std::string, OptionValue> given,
                                                 const TableContext& context) {
  // Before what is missing: a key that is misspelt is missing too.
  for (const auto& entry : given) {
    const auto is_named = [&entry](const OptionSpec& spec) { return entry.first == spec.name; };
    if (std::none_of(table.begin(), table.end(), is_named)) throw_unknown_key(context, entry.first, table);
  }
  std::map<std::string, OptionValue> checked;
  for (const OptionSpec& spec : table) {
    auto found = given.extract(spec.name);
    if (found.empty()) {
      if (spec.default_value == nullptr) {
        throw_config_error(context, spec.name, fmt::format("{} needs '{}': {}", context.name, spec.name, spec.help));
      }
      if (!may_be_left_out(spec)) checked.emplace(spec.name, parse_default(spec).value());
      continue;
    }
    const std::string subject = fmt::format("'{}' in {}", spec.name, context.name);
    auto value = as_type(found.mapped(), spec.type);
    if (!value) {
      throw_config_error(context, spec.name,
                         fmt::format("{} must be {}, not {}", subject, type_name(spec.type), describe(found.mapped())));
    }
    const std::string defect = value_defect(spec, *value);
    if (!defect.empty()) throw_config_error(context, spec.name, subject + " " + defect);
    checked.emplace(spec.name, *std::move(value));
  }
  return checked;
}

std::string table_defect(std::span<const OptionSpec> table) {
  std::set<std::string> names;
  for (const OptionSpec& spec : table) {
    std::string defect = row_defect(spec);
    if (!defect.empty()) return defect;
    if (!names.insert(spec.name).second) return fmt::format("option '{}' stands in its table twice", spec.name);
  }
  return "";
}

std::string number_text(double value) {
  return fmt::format("{}", value);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0;;) {
    const std::size_t end = text.find(separator, begin);
    parts.emplace_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

}  // namespace fedmpi
