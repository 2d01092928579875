#include "last_words.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string_view>

namespace fedmpi {

namespace {

namespace fs = std::filesystem;

// Rank 0's, whose name has as many digits as the run's number of ranks, and two at least.
fs::path server_log(const fs::path& directory) {
  std::string zeros = "00";
  std::error_code error;
  while (zeros.size() < 7 && !fs::is_regular_file(directory / ("rank_" + zeros + ".log"), error)) zeros += '0';
  return directory / ("rank_" + zeros + ".log");
}

}  // namespace

std::string last_words(const fs::path& directory) {
  constexpr std::streamoff max_line_bytes = 1 << 16;
  constexpr std::string_view mark = "] [error] ";
  std::ifstream file(server_log(directory / "log"), std::ios::binary | std::ios::ate);
  if (!file) return "";
  file.seekg(std::max<std::streamoff>(0, static_cast<std::streamoff>(file.tellg()) - max_line_bytes));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.ends_with('\n')) text.pop_back();
  const std::string line = text.substr(text.rfind('\n') + 1);
  const std::size_t found = line.find(mark);
  return found == std::string::npos ? "" : line.substr(found + mark.size());
}

}  // namespace fedmpi
