#pragma once

#include "fedmpi/options.hpp"

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace fedmpi {

// A job's values before they are checked against any table, and where each stands.
struct JobText {
  struct Section {
    std::map<std::string, OptionValue> values;
    std::map<std::string, std::string> positions;  // key -> "file:line:column" or "--set"
    std::string position;                          // of the section; the file's name when it has none
  };
  std::map<std::string, Section> sections;  // each of job_sections()
  std::map<std::string, Section> rules;  // "data.partition" -> the rule's own keys; those of job_rules() that are given
};

inline constexpr std::size_t max_job_bytes = std::size_t{1} << 20;

// A key of job_rules() has its rule's name for its value. Throws ConfigError for what is not TOML, unknown sections,
// values of a type no option has and rules without a name.
JobText read_job_text(const std::string& text, const std::string& source, std::span<const std::string> overrides);

// "[run]", the first section that has a key of this name; "" when none has.
std::string section_with_key(std::string_view key);

// A TOML basic string, with its quotes.
std::string toml_string(std::string_view text);

}  // namespace fedmpi
