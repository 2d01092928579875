#include "text_file.hpp"

#include "fedmpi/error.hpp"

#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace fedmpi {
namespace {

constexpr std::size_t block_bytes = 1 << 18;
constexpr std::string_view utf8_mark = "\xEF\xBB\xBF";

}  // namespace

TextFile::TextFile(std::filesystem::path path) : path_{std::move(path)} {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path_, error))
    throw FileError(fmt::format("{}: there is no such file", path_.string()), path_);
  size_ = static_cast<std::int64_t>(std::filesystem::file_size(path_, error));
  file_.open(path_, std::ios::binary);
  if (!file_ || error) throw FileError(fmt::format("{}: cannot be opened", path_.string()), path_);
  fill();
  if (block_.starts_with("\xFF\xFE") || block_.starts_with("\xFE\xFF")) fail(1, "is UTF-16: save it as UTF-8");
  if (block_.starts_with(utf8_mark)) next_ = utf8_mark.size();
}

void TextFile::fail(std::int64_t line, const std::string& what) const {
  throw FileError(fmt::format("{}:{}: {}", path_.string(), line, what), path_);
}

bool TextFile::fill() {
  before_block_ += static_cast<std::int64_t>(block_.size());
  next_ = 0;
  block_.resize(block_bytes);
  file_.read(block_.data(), static_cast<std::streamsize>(block_bytes));
  if (file_.bad()) fail(line_, "cannot be read");
  block_.resize(static_cast<std::size_t>(file_.gcount()));
  return !block_.empty();
}

}  // namespace fedmpi
