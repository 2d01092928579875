#include "fedmpi/sweep.hpp"

#include "fedmpi/error.hpp"
#include "fedmpi/job.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fedmpi {

namespace {

constexpr std::size_t max_runs = 10'000;

struct Sweep {
  std::string key;
  std::vector<std::string> values;
};

// At the commas that are in no quotes, brackets or braces.
std::vector<std::string> split_values(std::string_view text) {
  std::vector<std::string> values(1);
  int depth = 0;
  char quote = 0;
  for (const char c : text) {
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ',' && depth == 0) {
      values.emplace_back();
      continue;
    }
    values.back() += c;
  }
  return values;
}

std::optional<double> number_in(std::string_view text) {
  double number = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Sweep parse_sweep(const std::string& argument) {
  const std::size_t equals = argument.find('=');
  if (equals == std::string::npos || equals == 0)
    throw UserError(fmt::format("--sweep: '{}' is not of the form section.key=value,value", argument));
  Sweep sweep{.key = full_key(argument.substr(0, equals)),
              .values = split_values(std::string_view(argument).substr(equals + 1))};
  if (sweep.key.find('.') == std::string::npos)
    throw UserError(
        fmt::format("--sweep: '{}' is no key: name its section too, as in training.learning_rate=0.1,0.01", sweep.key));
  if (sweep.key == "run.output")
    throw UserError("--sweep: each run has a directory of its own in that of the sweep, which --output names");
  for (std::size_t i = 0; i < sweep.values.size(); ++i) {
    if (sweep.values[i].empty()) throw UserError(fmt::format("--sweep: '{}' has an empty value", argument));
    for (std::size_t j = 0; j < i; ++j)
      if (const auto number = number_in(sweep.values[i]); number && number == number_in(sweep.values[j]))
        throw UserError(fmt::format("--sweep: '{}' has the value {} twice", argument, sweep.values[i]));
  }
  return sweep;
}

// "seed" for run.seed, "strategy" for strategy.name, all of it where that would not tell two keys apart.
std::vector<std::string> short_names(std::span<const Sweep> sweeps) {
  std::vector<std::string> names;
  for (const Sweep& sweep : sweeps) {
    const std::size_t dot = sweep.key.rfind('.');
    const bool is_name = dot != std::string::npos && sweep.key.substr(dot) == ".name";
    names.push_back(is_name ? sweep.key.substr(0, dot) : sweep.key.substr(dot == std::string::npos ? 0 : dot + 1));
  }
  const std::set<std::string> different(names.begin(), names.end());
  if (different.size() == names.size()) return names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = sweeps[i].key;
  return names;
}

// As a part of a file's name.
std::string plain(const std::string& value) {
  std::string text;
  for (const char c : value) {
    if (c == '"' || c == '\'' || c == ' ') continue;
    const bool is_plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '+';
    text += is_plain ? c : '_';
  }
  return text;
}

}  // namespace

std::vector<SweepRun> sweep_runs(std::span<const std::string> sweeps) {
  std::vector<Sweep> all;
  for (const std::string& argument : sweeps) {
    all.push_back(parse_sweep(argument));
    const auto is_same = [&](const Sweep& other) { return other.key == all.back().key; };
    if (std::count_if(all.begin(), all.end(), is_same) > 1)
      throw UserError(fmt::format("--sweep: '{}' is given twice: list its values once", all.back().key));
  }
  const std::vector<std::string> names = short_names(all);
  std::vector<SweepRun> runs(1);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (runs.size() * all[i].values.size() > max_runs)
      throw UserError(fmt::format("--sweep: these are more than {} runs", max_runs));
    std::vector<SweepRun> next;
    for (const SweepRun& run : runs)
      for (const std::string& value : all[i].values) {
        SweepRun longer = run;
        longer.label += fmt::format("{}{}={}", run.label.empty() ? "" : ",", names[i], plain(value));
        longer.settings.push_back(all[i].key + "=" + value);
        next.push_back(std::move(longer));
      }
    runs = std::move(next);
  }
  std::set<std::string> labels;
  for (const SweepRun& run : runs) {
    if (run.label.size() > 200) throw UserError(fmt::format("--sweep: '{}' is too long for a directory", run.label));
    if (!labels.insert(run.label).second)
      throw UserError(fmt::format("--sweep: two of the runs would both be called '{}'", run.label));
  }
  return runs;
}

}  // namespace fedmpi
