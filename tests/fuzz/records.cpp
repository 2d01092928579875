// The texts that a checkpoint holds as JSON, reached here without its digests: a line of metrics, or after a first byte
// of L, S or N a layout, a map of strings or a list of names; or after a P a run's partition.json.
#include "checkpoint_json.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/metrics.hpp"
#include "input_file.hpp"
#include "partition_statistics.hpp"

#include <nlohmann/json.hpp>

using namespace fedmpi;

namespace {

constexpr std::int64_t buffer_size = 64;

void read(char kind, const std::string& text) {
  if (kind == 'L') {
    const Layout layout = layout_from_json(text, buffer_size);
    require(layout_from_json(layout_to_json(layout), buffer_size).size() == buffer_size, "it is another layout");
  } else if (kind == 'S') {
    const auto strings = strings_from_json(text);
    require(strings_from_json(strings_to_json(strings)) == strings, "they are other strings");
  } else if (kind == 'N') {
    const auto names = names_from_json(text);
    require(names_from_json(names_to_json(names)) == names, "they are other names");
  } else if (kind == 'P') {
    const std::string statistics = statistics_json(statistics_from_json(text));
    require(statistics_json(statistics_from_json(statistics)) == statistics, "they are other statistics");
  } else {
    const std::string line = to_json_line(from_json_line(text));
    require(to_json_line(from_json_line(line)) == line, "it is another line");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string text(text_of(bytes, size));
  const bool is_line = text.find_first_of("LSNP") != 0;
  try {
    read(is_line ? '\0' : text[0], is_line ? text : text.substr(1));
  } catch (const Error&) {
  } catch (const nlohmann::json::exception&) {
    require(!is_line, "a line of metrics is refused with the JSON library's exception");
  }
  return 0;
}
