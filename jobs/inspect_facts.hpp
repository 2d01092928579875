#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <ATen/core/Tensor.h>
#include <nlohmann/json.hpp>

namespace fedmpi {

// What is found in a file, under the keys that jobs/README.md lists; printing reads them again.
using Facts = nlohmann::ordered_json;

struct InspectRequest {
  std::filesystem::path file;
  std::filesystem::path vocabulary;  // empty: none
  std::int64_t num_texts = 3;
  bool json = false;
};

// "file", "kind" and "bytes", with which all begin.
Facts facts_of_file(const std::filesystem::path& path, const char* kind);

// How many examples have each label that occurs: [{"label", "name" where `names` (a JSON list, or "") has one,
// "examples"}]. `labels`: int64 [n].
Facts label_facts(const at::Tensor& labels, const std::string& names);

// A line "name   value", aligned with the others; of `value` no control character reaches the terminal.
void print_row(const std::string& name, const std::string& value);
// At most 20 of them.
void print_labels(const Facts& labels, std::int64_t num_examples);

std::string type_name(const at::Tensor& tensor);  // as NumPy has it: "float32"
std::string printable(std::string text);          // control characters as '?'

}  // namespace fedmpi
