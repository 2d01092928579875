#pragma once

#include <string>
#include <string_view>

namespace fedmpi {

// Hugging Face's BertNormalizer with clean_text and handle_chinese_chars, and strip_accents following `lower_case`:
// control characters go, white space becomes ' ', ideographs stand between spaces, and for lower case the text is
// decomposed (NFD), its accents taken away and its letters made small. Holds buffers: one object per thread.
class Normalizer {
 public:
  explicit Normalizer(bool lower_case) : lower_case_{lower_case} {}

  // `bytes` may be any piece of a text that starts and ends beside ASCII white space or punctuation, or all of it.
  // The result is valid until the next call.
  const std::u32string& run(std::string_view bytes);

 private:
  void append(char32_t c);
  void order_marks();
  void strip_and_lower();

  bool lower_case_;
  std::u32string text_;
};

}  // namespace fedmpi
