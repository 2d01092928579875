#include "rule_json.hpp"

#include "fedmpi/error.hpp"
#include "json_integer.hpp"
#include "rule_choice.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

// Without the library's own name for it: "[json.exception.parse_error.101] parse error at line 1, column 5: ...".
std::string reason(const nlohmann::json::exception& error) {
  const std::string text = one_line(error);
  const std::size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

}  // namespace

nlohmann::json rule_json(const RuleChoice& rule, std::initializer_list<const char*> keys) {
  nlohmann::json file;
  try {
    file = nlohmann::json::parse(rule.file_text);
  } catch (const nlohmann::json::exception& error) {
    refuse_file(rule, "is not JSON: " + reason(error));
  }
  if (!file.is_object())
    refuse_file(rule, fmt::format("is not an object with \"{}\": see `fedmpi plugins`", fmt::join(keys, "\" or \"")));
  for (const auto& entry : file.items()) {
    if (std::find(keys.begin(), keys.end(), entry.key()) == keys.end())
      refuse_file(rule, fmt::format("has a \"{}\"; it may have \"{}\"", entry.key(), fmt::join(keys, "\" and \"")));
  }
  return file;
}

std::int64_t rule_index(const RuleChoice& rule, const nlohmann::json& value, std::int64_t limit,
                        const std::string& what) {
  std::int64_t index = -1;
  try {
    index = json_integer<std::int64_t>(value);
  } catch (const Error&) {
    refuse_file(rule, fmt::format("{}: {:.40} is not a whole number", what,
                                  value.is_structured() ? "a list or an object" : value.dump()));
  }
  if (index < 0 || index >= limit) refuse_file(rule, fmt::format("{}: {} is outside 0..{}", what, index, limit - 1));
  return index;
}

const nlohmann::json& rule_list(const RuleChoice& rule, const nlohmann::json& value, const std::string& what) {
  if (!value.is_array()) refuse_file(rule, what + " must be a list");
  return value;
}

}  // namespace fedmpi
