// A vocab.txt, behind a zero byte the text to encode with it: the vocabulary is refused with a FileError, or every text
// becomes ids of that vocabulary between [CLS] and [SEP], at most as many as asked for.
#include "fedmpi/error.hpp"
#include "input_file.hpp"
#include "word_piece.hpp"

#include <algorithm>

using namespace fedmpi;

namespace {

void encode(const Vocabulary& vocabulary, std::string_view text, bool lower_case, std::int64_t max_tokens) {
  std::vector<std::int32_t> ids;
  WordPiece(vocabulary, lower_case).encode(text, max_tokens, ids);
  require(ids.size() >= 2 && ids.size() <= static_cast<std::size_t>(max_tokens), "too many or too few ids");
  require(ids.front() == vocabulary.cls() && ids.back() == vocabulary.sep(), "[CLS] or [SEP] is missing");
  require(std::all_of(ids.begin(), ids.end(), [&](std::int32_t id) { return id >= 0 && id < vocabulary.size(); }),
          "an id is not of the vocabulary");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view all = text_of(bytes, size);
  const std::size_t end = std::min(all.find('\0'), size);
  const InputFile input(all.substr(0, end));
  try {
    const Vocabulary vocabulary(input.path());
    encode(vocabulary, all.substr(end), size % 2 == 0, 2 + static_cast<std::int64_t>(size % 30));
  } catch (const FileError& error) {
    require(error.path == input.path(), "the error names another file");
  }
  return 0;
}
