#include "inspect_facts.hpp"

#include "numbers.hpp"

#include <algorithm>
#include <map>
#include <system_error>

#include <fmt/format.h>

namespace fedmpi {
namespace {

constexpr std::size_t most_labels = 20;
constexpr double bar_width = 30.0;

std::string text_of(const Facts& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

Facts facts_of_file(const std::filesystem::path& path, const char* kind) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  return {{"file", path.string()}, {"kind", kind}, {"bytes", error ? 0 : bytes}};
}

Facts label_facts(const at::Tensor& labels, const std::string& names) {
  std::map<std::int64_t, std::int64_t> counts;
  const auto* first = labels.const_data_ptr<std::int64_t>();
  std::for_each(first, first + labels.numel(), [&](std::int64_t label) { ++counts[label]; });
  const Facts known = Facts::parse(names, nullptr, false);
  Facts all = Facts::array();
  for (const auto& [label, count] : counts) {
    Facts one{{"label", label}};
    if (known.is_array() && label >= 0 && static_cast<std::size_t>(label) < known.size())
      one["name"] = text_of(known[static_cast<std::size_t>(label)]);
    one["examples"] = count;
    all.push_back(std::move(one));
  }
  return all;
}

void print_row(const std::string& name, const std::string& value) {
  fmt::print("{:<24} {}\n", printable(name), printable(value));
}

void print_labels(const Facts& labels, std::int64_t num_examples) {
  std::int64_t most = 1;
  for (const Facts& one : labels) most = std::max(most, one["examples"].get<std::int64_t>());
  for (std::size_t i = 0; i < std::min(labels.size(), most_labels); ++i) {
    const auto count = labels[i]["examples"].get<std::int64_t>();
    const auto bar = static_cast<std::size_t>(bar_width * static_cast<double>(count) / static_cast<double>(most));
    print_row(fmt::format("  {}", labels[i]["label"].get<std::int64_t>()),
              fmt::format("{:>12} {:>5.1f} %  {:<30}  {}", grouped(count),
                          100.0 * static_cast<double>(count) / static_cast<double>(num_examples), std::string(bar, '#'),
                          labels[i].value("name", std::string())));
  }
  if (labels.size() > most_labels) print_row("", fmt::format("and {} more: see --json", labels.size() - most_labels));
}

std::string type_name(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kByte:
      return "uint8";
    case at::kInt:
      return "int32";
    case at::kLong:
      return "int64";
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    default:
      return c10::toString(tensor.scalar_type());
  }
}

std::string printable(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

}  // namespace fedmpi
