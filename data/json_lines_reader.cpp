#include "json_lines_reader.hpp"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fedmpi {
namespace {

// What lists and objects within the line's own object hold is never needed.
bool keep(int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
  return depth < 2;
}

// False when it is none of those that can be chosen.
bool to_text(const nlohmann::json& value, std::string& text) {
  if (value.is_string())
    text = value.get_ref<const std::string&>();
  else if (value.is_number_integer() || value.is_boolean())
    text = value.dump();
  else
    return false;
  return true;
}

}  // namespace

JsonLinesReader::JsonLinesReader(const std::filesystem::path& path, std::vector<std::string> columns)
    : RecordReader{path}, columns_{std::move(columns)} {}

bool JsonLinesReader::next(std::vector<std::string>& values) {
  do {
    if (!read_line()) return false;
  } while (text_.empty());
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(text_, keep);
  } catch (const nlohmann::json::parse_error& error) {
    fail(fmt::format("is not JSON from its byte {} on", error.byte));
  } catch (const nlohmann::json::exception&) {
    fail("holds a number that is too large");
  }
  if (!object.is_object()) fail("is not an object: write {\"text\": ..., \"label\": ...} on each line");
  values.resize(columns_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const auto found = object.find(columns_[i]);
    if (found == object.end()) {
      std::vector<std::string> present;
      for (const auto& [key, value] : object.items()) present.push_back(key);
      fail_for_column(columns_[i], present);
    }
    if (!to_text(*found, values[i]))
      fail(fmt::format("'{}' is neither a text nor a whole number nor true or false", columns_[i]));
  }
  return true;
}

bool JsonLinesReader::read_line() {
  line_ = file_.line();
  text_.clear();
  if (file_.peek() == TextFile::end) return false;
  for (int byte = file_.get(); byte != '\n' && byte != TextFile::end; byte = file_.get()) {
    if (text_.size() == max_row_bytes) fail("is a line of more than 16 MB");
    text_ += static_cast<char>(byte);
  }
  if (text_.ends_with('\r')) text_.pop_back();
  return true;
}

}  // namespace fedmpi
