#include "unicode.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

namespace fedmpi {
namespace {

// Unicode versions of the data in the tokenizers package (0.23): categories, canonical decomposition, letter case.
constexpr int category_version = 8;
constexpr int decomposition_version = 9;
constexpr int lower_case_version = 15;

bool known_to(int version, char32_t c) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] != 0 && age[0] <= version;
}

// Whether Unicode 8 knew `c` under one of the categories of `mask`.
bool in_category(char32_t c, std::uint32_t mask) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & mask) != 0 && known_to(category_version, c);
}

// Capitals that Unicode 16 and 17 added: the tokenizer's letter case is newer than its categories, and newer than
// the ICU of many systems.
struct LaterCapitals {
  char32_t first, last, lower;
};
constexpr std::array<LaterCapitals, 10> later_capitals{{{0x1C89, 0x1C89, 0x1C8A},
                                                        {0xA7CB, 0xA7CB, 0x0264},
                                                        {0xA7CC, 0xA7CC, 0xA7CD},
                                                        {0xA7CE, 0xA7CE, 0xA7CF},
                                                        {0xA7D2, 0xA7D2, 0xA7D3},
                                                        {0xA7D4, 0xA7D4, 0xA7D5},
                                                        {0xA7DA, 0xA7DA, 0xA7DB},
                                                        {0xA7DC, 0xA7DC, 0x019B},
                                                        {0x10D50, 0x10D65, 0x10D70},
                                                        {0x16EA0, 0x16EB8, 0x16EBB}}};

const UNormalizer2* decomposer() {
  static const UNormalizer2* const instance = [] {
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2* nfd = unorm2_getNFDInstance(&status);
    if (U_FAILURE(status)) throw std::runtime_error("ICU's normalization data could not be loaded");
    return nfd;
  }();
  return instance;
}

// The ranges the tokenizer's authors wrote down, unassigned code points in them included.
bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

}  // namespace

CharKind kind_of(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r' || c == ' ') return CharKind::space;
  if (c < 0x7F) return c < 0x20 ? CharKind::removed : CharKind::plain;
  if (is_ideograph(c)) return CharKind::ideograph;
  if (c == 0xFFFD || in_category(c, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) return CharKind::removed;
  return u_isUWhiteSpace(static_cast<UChar32>(c)) ? CharKind::space : CharKind::plain;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) return c > 0x20 && c < 0x7F && !u_isalnum(static_cast<UChar32>(c));
  if (c == 0x166D || c == 0x111C9) return true;  // no longer punctuation since Unicode 12 and 11
  return in_category(c, U_GC_P_MASK);
}

bool is_stripped_mark(char32_t c) {
  if (c < 0x300) return false;
  if (c == 0x1734) return true;  // no longer a non-spacing mark since Unicode 14; the four below became one later
  if (c == 0x1885 || c == 0x1886 || c == 0xA9BD || c == 0x111C9) return false;
  return in_category(c, U_GC_MN_MASK);
}

unsigned combining_class(char32_t c) {
  if (c < 0x300) return 0;
  const unsigned value = u_getCombiningClass(static_cast<UChar32>(c));
  return value != 0 && known_to(decomposition_version, c) ? value : 0;
}

char32_t to_lower(char32_t c) {
  if (c >= later_capitals.front().first) {
    for (const LaterCapitals& range : later_capitals) {
      if (c >= range.first && c <= range.last) return range.lower + (c - range.first);
    }
  }
  const auto lower = static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)));
  return lower == c || known_to(lower_case_version, c) ? lower : c;
}

void append_decomposed(char32_t c, std::u32string& text) {
  std::array<UChar, 64> units;
  UErrorCode status = U_ZERO_ERROR;
  const std::int32_t size = c < 0xC0 ? -1
                                     : unorm2_getDecomposition(decomposer(), static_cast<UChar32>(c), units.data(),
                                                               static_cast<std::int32_t>(units.size()), &status);
  if (size <= 0 || !known_to(decomposition_version, c)) {
    text.push_back(c);
    return;
  }
  for (std::int32_t i = 0; i < size;) {
    UChar32 part;
    U16_NEXT(units, i, size, part);
    text.push_back(static_cast<char32_t>(part));
  }
}

char32_t next_code_point(std::string_view bytes, std::size_t& position) {
  // Four bytes at most are looked at, which keeps ICU's 32-bit index in range for texts of any size.
  const auto* start = reinterpret_cast<const std::uint8_t*>(bytes.data()) + position;
  const auto available = static_cast<std::int32_t>(std::min<std::size_t>(bytes.size() - position, 4));
  std::int32_t used = 0;
  UChar32 c;
  U8_NEXT_OR_FFFD(start, used, available, c);
  position += static_cast<std::size_t>(used);
  return static_cast<char32_t>(c);
}

void append_utf8(char32_t c, std::string& bytes) {
  std::array<char, U8_MAX_LENGTH> units;
  std::int32_t size = 0;
  U8_APPEND_UNSAFE(units, size, static_cast<UChar32>(c));
  bytes.append(units.data(), static_cast<std::size_t>(size));
}

}  // namespace fedmpi
