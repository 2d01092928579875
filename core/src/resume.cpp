#include "resume.hpp"

#include <array>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

namespace fedmpi {

namespace {

// resolved_toml writes one key a line.
std::map<std::string, std::string> flatten(const std::string& resolved) {
  std::map<std::string, std::string> keys;
  std::istringstream lines(resolved);
  std::string line, section;
  while (std::getline(lines, line)) {
    const auto equals = line.find(" = ");
    if (line.starts_with('['))
      section = line.substr(1, line.find(']') - 1);
    else if (equals != std::string::npos)
      keys[section + "." + line.substr(0, equals)] = line.substr(equals + 3);
  }
  return keys;
}

bool may_change(std::string_view key) {
  constexpr std::array<std::string_view, 6> free{"run.name",    "run.output",  "run.rounds",
                                                 "run.threads", "run.plugins", "federation.transport"};
  for (const auto name : free)
    if (key == name) return true;
  return key.starts_with("checkpoint.");
}

}  // namespace

std::vector<std::string> differing_keys(const std::string& job, const std::string& other) {
  const auto mine = flatten(job), theirs = flatten(other);
  std::set<std::string> names;
  for (const auto& [key, value] : mine) names.insert(key);
  for (const auto& [key, value] : theirs) names.insert(key);
  std::vector<std::string> differing;
  for (const std::string& key : names) {
    const auto a = mine.find(key), b = theirs.find(key);
    const bool same = a != mine.end() && b != theirs.end() && a->second == b->second;
    if (!same && !may_change(key)) differing.push_back(key);
  }
  return differing;
}

}  // namespace fedmpi
