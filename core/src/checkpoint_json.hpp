#pragma once

#include "fedmpi/layout.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fedmpi {

// The forms in which a checkpoint keeps what is not a tensor. The readers throw Error (or the JSON library's
// exception) at anything else than what the writers make.

// [{"name", "shape", "role", "offset", "learning_rate" where there is one, "kind" where it is not a weight}], in the
// order of the buffer.
std::string layout_to_json(const Layout& layout);
// Of a buffer of `size` elements. Its indices are in the order of the buffer.
Layout layout_from_json(const std::string& text, std::int64_t size);

std::string strings_to_json(const std::map<std::string, std::string>& strings);
std::map<std::string, std::string> strings_from_json(const std::string& text);
std::string names_to_json(const std::vector<std::string>& names);
std::vector<std::string> names_from_json(const std::string& text);

}  // namespace fedmpi
