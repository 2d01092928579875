#pragma once

#include "fedmpi/options.hpp"

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fedmpi {

// How errors name a table of options and where its keys stand.
struct TableContext {
  std::string name;                                          // "[training]"
  std::string prefix;                                        // of dotted keys: "training."
  std::string source;                                        // stands in for the position of a key that was not given
  std::map<std::string, std::string> positions = {};         // key -> "file:line:column" or "--set"
  std::vector<std::string> other_keys = {};                  // valid in the same place, though not in the table
  std::string (*elsewhere)(std::string_view key) = nullptr;  // the place that has such a key, or ""
};

// Throws ConfigError: "<position>: <message>".
[[noreturn]] void throw_config_error(const TableContext& context, const std::string& key, const std::string& message);

// "[training] has no key 'batchsize'; did you mean 'batch_size'?" or, with nothing near, the keys there are.
[[noreturn]] void throw_unknown_key(const TableContext& context, const std::string& key,
                                    std::span<const OptionSpec> table);

// The values of `given` in the table's types with the defaults filled in. Throws ConfigError.
std::map<std::string, OptionValue> check_options(std::span<const OptionSpec> table,
                                                 std::map<std::string, OptionValue> given, const TableContext& context);

// What is wrong with the table itself: a missing pointer, a name twice, a default that does not fit. "" when sound.
std::string table_defect(std::span<const OptionSpec> table);

// The shortest text that reads back as the same number.
std::string number_text(double value);

std::vector<std::string> split(std::string_view text, char separator);

}  // namespace fedmpi
