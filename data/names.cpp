#include "names.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>

#include <nlohmann/json.hpp>

namespace fedmpi {
namespace {

// Written as the program would write it: "7", not "07" or "7.0", so that different texts are different numbers.
std::optional<std::int64_t> whole_number(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || std::to_string(value) != text) return std::nullopt;
  return value;
}

}  // namespace

std::int64_t Names::add(const std::string& name) {
  return numbers_.try_emplace(name, size()).first->second;
}

Names::Sorted Names::sort() const {
  Sorted sorted;
  sorted.names.resize(numbers_.size());
  for (const auto& [name, number] : numbers_) sorted.names[static_cast<std::size_t>(number)] = name;
  for (const std::string& name : sorted.names) {
    const auto value = whole_number(name);
    if (!value) break;
    sorted.by_number.push_back(*value);
  }
  if (sorted.by_number.size() != sorted.names.size()) sorted.by_number.clear();

  std::vector<std::size_t> order(sorted.names.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return sorted.by_number.empty() ? sorted.names[a] < sorted.names[b] : sorted.by_number[a] < sorted.by_number[b];
  });
  sorted.places.resize(order.size());
  std::vector<std::string> names;
  for (const std::size_t number : order) {
    sorted.places[number] = std::ssize(names);
    names.push_back(std::move(sorted.names[number]));
  }
  sorted.names = std::move(names);
  return sorted;
}

std::string to_json(const std::vector<std::string>& names) {
  return nlohmann::json(names).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace fedmpi
