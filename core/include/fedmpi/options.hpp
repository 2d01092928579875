#pragma once

#include "fedmpi/export.hpp"

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace fedmpi {

enum class OptionType : std::uint32_t { boolean, integer, number, string, integers, numbers, strings };

// One row of an options table, of the core's own tables and of a plugin's alike. Plain constant data: a
// plugin's table is read before any of its code runs. The same rows give validation, error messages,
// `fedmpi plugins` and the documentation.
struct OptionSpec {
  const char* name;
  OptionType type;
  // How the value reads in a job file, without quotes for strings and lists as "1,2,3"; nullptr: the
  // option must be given; "" for a type other than string: it may be left out, Options::has tells.
  const char* default_value;
  const char* help;                                           // one line
  double minimum = -std::numeric_limits<double>::infinity();  // inclusive, for numbers and elements of lists
  double maximum = std::numeric_limits<double>::infinity();
  const char* choices = nullptr;  // "adamw|sgd", for strings
};

using OptionValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>,
                                 std::vector<double>, std::vector<std::string>>;

// Values that were checked against a table: every option of the table is in it, except those without a
// default that were not given. Immutable; may be read from any thread.
class FEDMPI_API Options {
 public:
  Options() = default;

  // `given` must hold values of the exact types (an integer is taken where a number is asked for).
  // `where` is how errors name the table ("[strategy] in jobs/imdb.toml"). Throws ConfigError for an unknown
  // name (naming the nearest one), a wrong type, a value out of range or not among the choices, and a
  // required option that is missing.
  Options(std::span<const OptionSpec> table, std::map<std::string, OptionValue> given, const std::string& where);

  bool has(std::string_view name) const;

  // T is one of the variant's types. Asking for a name that is not in the table, or as another type, is a
  // programmer's error: std::logic_error.
  template <class T>
  const T& get(std::string_view name) const {
    const T* value = std::get_if<T>(&find(name));
    if (value == nullptr) wrong_type(name);
    return *value;
  }

  const std::map<std::string, OptionValue>& values() const { return values_; }
  bool operator==(const Options&) const = default;

 private:
  const OptionValue& find(std::string_view name) const;
  [[noreturn]] static void wrong_type(std::string_view name);

  std::map<std::string, OptionValue> values_;
};

// The candidate with the smallest edit distance to `word`, or "" when none is near enough to suggest.
FEDMPI_API std::string nearest(std::string_view word, std::span<const std::string> candidates);

// For messages and listings: "a number"; "between 0 and 1", "one of "sgd", "adamw"", "" when anything goes.
FEDMPI_API std::string type_name(OptionType type);
FEDMPI_API std::string describe_range(const OptionSpec& spec);

}  // namespace fedmpi
