#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fedmpi {

// Different texts (labels, users), numbered from 0 as they come.
class Names {
 public:
  std::int64_t add(const std::string& name);  // its number
  bool contains(const std::string& name) const { return numbers_.contains(name); }
  std::int64_t size() const { return static_cast<std::int64_t>(numbers_.size()); }

  struct Sorted {
    std::vector<std::string> names;       // whole numbers by value when all are such, else by their bytes
    std::vector<std::int64_t> places;     // [number]: where in `names`
    std::vector<std::int64_t> by_number;  // [number]: the value, when all are whole numbers; else empty
  };
  Sorted sort() const;

 private:
  std::unordered_map<std::string, std::int64_t> numbers_;
};

// As a JSON list, for an attribute; what is not UTF-8 becomes U+FFFD.
std::string to_json(const std::vector<std::string>& names);

}  // namespace fedmpi
