#include "fedmpi/options.hpp"

#include "option_check.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

std::string lower(std::string_view text) {
  std::string result{text};
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// Damerau-Levenshtein (optimal string alignment): insertions, deletions, substitutions, swaps of neighbours.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last, last(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({last[j] + 1, current[j - 1] + 1, substitution});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[j] = std::min(current[j], before_last[j - 2] + 1);
      }
    }
    before_last = last;
    last = current;
  }
  return last[b.size()];
}

}  // namespace

Options::Options(std::span<const OptionSpec> table, std::map<std::string, OptionValue> given,
                 const std::string& where) {
  const std::string defect = table_defect(table);
  if (!defect.empty()) throw std::logic_error(fmt::format("the options table for {} is broken: {}", where, defect));
  values_ = check_options(table, std::move(given), TableContext{.name = where, .prefix = "", .source = ""});
}

bool Options::has(std::string_view name) const {
  return values_.contains(std::string{name});
}

const OptionValue& Options::find(std::string_view name) const {
  const auto found = values_.find(std::string{name});
  if (found == values_.end()) throw std::logic_error(fmt::format("no option '{}' was declared or given", name));
  return found->second;
}

void Options::wrong_type(std::string_view name) {
  throw std::logic_error(fmt::format("option '{}' was declared with another type", name));
}

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  const std::string wanted = lower(word);
  std::string best;
  std::size_t best_distance = std::string::npos;
  for (const std::string& candidate : candidates) {
    // A third of the letters wrong is a typing error; more is another word.
    const std::size_t limit = std::max<std::size_t>(1, std::max(wanted.size(), candidate.size()) / 3);
    const std::size_t distance = edit_distance(wanted, lower(candidate));
    if (distance <= limit && distance < std::min(best_distance, candidate.size())) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string type_name(OptionType type) {
  switch (type) {
    case OptionType::boolean:
      return "true or false";
    case OptionType::integer:
      return "an integer";
    case OptionType::number:
      return "a number";
    case OptionType::string:
      return "a string";
    case OptionType::integers:
      return "a list of integers";
    case OptionType::numbers:
      return "a list of numbers";
    case OptionType::strings:
      return "a list of strings";
  }
  throw std::logic_error("an option type that does not exist");
}

std::string describe_range(const OptionSpec& spec) {
  if (spec.choices != nullptr) {
    const auto choices = split(spec.choices, '|');
    const std::string listed = fmt::format("\"{}\"", fmt::join(choices, "\", \""));
    return choices.size() == 1 ? listed : "one of " + listed;
  }
  const bool has_minimum = std::isfinite(spec.minimum), has_maximum = std::isfinite(spec.maximum);
  if (has_minimum && has_maximum) {
    return fmt::format("between {} and {}", number_text(spec.minimum), number_text(spec.maximum));
  }
  if (has_minimum) return fmt::format("at least {}", number_text(spec.minimum));
  if (has_maximum) return fmt::format("at most {}", number_text(spec.maximum));
  return "";
}

}  // namespace fedmpi
