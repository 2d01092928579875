#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fedmpi {

// What Hugging Face's BERT tokenizer makes of single code points. Its libraries carry Unicode data of several ages;
// these functions answer from ICU's data as those versions did, so that token ids do not depend on the installed ICU.
// Pure functions, any thread.

enum class CharKind : std::uint8_t { plain, removed, space, ideograph };

CharKind kind_of(char32_t c);                              // what cleaning a text makes of it
bool is_punctuation(char32_t c);                           // a word of its own
bool is_stripped_mark(char32_t c);                         // an accent that lower-casing takes away
unsigned combining_class(char32_t c);                      // for canonical order
char32_t to_lower(char32_t c);                             // of a code point that is decomposed already
void append_decomposed(char32_t c, std::u32string& text);  // its canonical decomposition (NFD)

// Reads the code point at `position` (< bytes.size()) and moves on. Invalid bytes give U+FFFD, one for each that
// Python's bytes.decode("utf-8", errors="replace") would give.
char32_t next_code_point(std::string_view bytes, std::size_t& position);

void append_utf8(char32_t c, std::string& bytes);

}  // namespace fedmpi
