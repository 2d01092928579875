#include "normalizer.hpp"

#include "unicode.hpp"

#include <algorithm>

namespace fedmpi {

const std::u32string& Normalizer::run(std::string_view bytes) {
  text_.clear();
  for (std::size_t position = 0; position < bytes.size();) {
    const char32_t c = next_code_point(bytes, position);
    switch (kind_of(c)) {
      case CharKind::removed:
        break;
      case CharKind::space:
        text_.push_back(U' ');
        break;
      case CharKind::ideograph:
        text_.push_back(U' ');
        append(c);
        text_.push_back(U' ');
        break;
      case CharKind::plain:
        append(c);
        break;
    }
  }
  if (lower_case_) {
    order_marks();
    strip_and_lower();
  }
  return text_;
}

void Normalizer::append(char32_t c) {
  if (lower_case_) {
    append_decomposed(c, text_);
  } else {
    text_.push_back(c);
  }
}

// Most marks are stripped afterwards, but not the spacing ones: their order is part of the text.
void Normalizer::order_marks() {
  const auto is_mark = [](char32_t c) { return combining_class(c) != 0; };
  const auto before = [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); };
  for (auto first = std::find_if(text_.begin(), text_.end(), is_mark); first != text_.end();) {
    const auto last = std::find_if_not(first, text_.end(), is_mark);
    if (last - first > 1) std::stable_sort(first, last, before);
    first = std::find_if(last, text_.end(), is_mark);
  }
}

void Normalizer::strip_and_lower() {
  std::erase_if(text_, is_stripped_mark);
  std::transform(text_.begin(), text_.end(), text_.begin(), to_lower);
}

}  // namespace fedmpi
