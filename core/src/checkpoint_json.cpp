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

constexpr std::array<std::pair<TensorRole, const char*>, 3> role_names = {
    {{TensorRole::shared, "shared"}, {TensorRole::local, "local"}, {TensorRole::frozen, "frozen"}}};

const char* name_of(TensorRole role) {
  for (const auto& [known, name] : role_names) {
    if (known == role) return name;
  }
  throw Error("a tensor has a role without a name");
}

TensorRole role_of(const std::string& name) {
  for (const auto& [role, known] : role_names) {
    if (name == known) return role;
  }
  throw Error(fmt::format("the role {} is not known", name));
}

TensorSpec spec_from_json(const nlohmann::json& entry, std::int64_t size) {
  TensorSpec spec{entry.at("name").get<std::string>(), {}, role_of(entry.at("role").get<std::string>())};
  std::int64_t num_elements = 1;
  for (const auto& one : entry.at("shape")) {
    const auto length = json_integer<std::int64_t>(one);
    spec.shape.push_back(length);
    if (length < 0 || __builtin_mul_overflow(num_elements, length, &num_elements) || num_elements > size) {
      throw Error(fmt::format("the tensor {} does not fit in the parameters", spec.name));
    }
  }
  if (entry.contains("learning_rate")) spec.learning_rate = entry["learning_rate"].get<double>();
  return spec;
}

}  // namespace

std::string layout_to_json(const Layout& layout) {
  Json entries = Json::array();
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    const TensorSpec& spec = layout.spec(i);
    Json entry = {
        {"name", spec.name}, {"shape", spec.shape}, {"role", name_of(spec.role)}, {"offset", layout.offset(i)}};
    if (spec.learning_rate) entry["learning_rate"] = *spec.learning_rate;
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
