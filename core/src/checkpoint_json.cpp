#include "checkpoint_json.hpp"

#include "fedmpi/error.hpp"
#include "json_integer.hpp"

#include <array>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fedmpi {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<TensorRole, const char*>, 5> role_names = {
    {{TensorRole::shared, "shared"},
     {TensorRole::statistic, "statistic"},
     {TensorRole::local, "local"},
     {TensorRole::local_statistic, "local_statistic"},
     {TensorRole::frozen, "frozen"}}};
constexpr std::array<std::pair<TensorKind, const char*>, 3> kind_names = {
    {{TensorKind::weight, "weight"}, {TensorKind::normalization, "normalization"}, {TensorKind::head, "head"}}};

template <class Value, std::size_t size>
const char* name_of(Value value, const std::array<std::pair<Value, const char*>, size>& names) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  throw Error("a tensor has a role or a kind without a name");
}

template <class Value, std::size_t size>
Value value_of(const std::string& name, const std::array<std::pair<Value, const char*>, size>& names,
               const char* what) {
  for (const auto& [value, known] : names) {
    if (name == known) return value;
  }
  throw Error(fmt::format("the {} {} is not known", what, name));
}

TensorSpec spec_from_json(const nlohmann::json& entry, std::int64_t size) {
  TensorSpec spec{
      entry.at("name").get<std::string>(), {}, value_of(entry.at("role").get<std::string>(), role_names, "role")};
  std::int64_t num_elements = 1;
  for (const auto& one : entry.at("shape")) {
    const auto length = json_integer<std::int64_t>(one);
    spec.shape.push_back(length);
    if (length < 0 || __builtin_mul_overflow(num_elements, length, &num_elements) || num_elements > size) {
      throw Error(fmt::format("the tensor {} does not fit in the parameters", spec.name));
    }
  }
  if (entry.contains("learning_rate")) spec.learning_rate = entry["learning_rate"].get<double>();
  if (entry.contains("kind")) spec.kind = value_of(entry["kind"].get<std::string>(), kind_names, "kind");
  return spec;
}

}  // namespace

std::string layout_to_json(const Layout& layout) {
  Json entries = Json::array();
  for (const std::size_t index : layout.order()) {
    const TensorSpec& spec = layout.spec(index);
    Json entry = {{"name", spec.name},
                  {"shape", spec.shape},
                  {"role", name_of(spec.role, role_names)},
                  {"offset", layout.offset(index)}};
    if (spec.learning_rate) entry["learning_rate"] = *spec.learning_rate;
    if (spec.kind != TensorKind::weight) entry["kind"] = name_of(spec.kind, kind_names);
    entries.push_back(entry);
  }
  return entries.dump();
}

Layout layout_from_json(const std::string& text, std::int64_t size) {
  const auto entries = nlohmann::json::parse(text);
  if (!entries.is_array()) throw Error("the layout is not a list");
  std::vector<TensorSpec> specs;
  std::set<std::string> names;
  for (const auto& entry : entries) {
    specs.push_back(spec_from_json(entry, size));
    if (!names.insert(specs.back().name).second)
      throw Error(fmt::format("the layout has two tensors named {}", specs.back().name));
  }
  Layout layout(std::move(specs));
  if (layout.size() != size) {
    throw Error(fmt::format("the layout has {} elements but the parameters have {}", layout.size(), size));
  }
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (layout.offset(i) != json_integer<std::int64_t>(entries[i].at("offset"))) {
      throw Error(fmt::format("the tensor {} lies elsewhere than this program would put it", layout.spec(i).name));
    }
  }
  return layout;
}

std::string strings_to_json(const std::map<std::string, std::string>& strings) {
  return Json(strings).dump();
}
std::map<std::string, std::string> strings_from_json(const std::string& text) {
  return nlohmann::json::parse(text).get<std::map<std::string, std::string>>();
}
std::string names_to_json(const std::vector<std::string>& names) {
  return Json(names).dump();
}
std::vector<std::string> names_from_json(const std::string& text) {
  return nlohmann::json::parse(text).get<std::vector<std::string>>();
}

}  // namespace fedmpi
