#include "markup.hpp"

#include "unicode.hpp"

namespace fedmpi {

namespace {

// Controls, what XML does not allow, and what turns the direction of the text around it.
bool is_shown(char32_t c) {
  if (c < 0x20) return c == '\n' || c == '\t';
  return c != 0xfffe && c != 0xffff && !(c >= 0x7f && c < 0xa0) && !(c >= 0x202a && c <= 0x202e) &&
         !(c >= 0x2066 && c <= 0x2069);
}

}  // namespace

std::string shown(std::string_view text) {
  std::string result;
  for (std::size_t position = 0; position < text.size();) {
    const char32_t c = next_code_point(text, position);
    append_utf8(is_shown(c) ? c : U'\ufffd', result);
  }
  return result;
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : shown(text)) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

void Markup::open(const char* name, Attributes attributes) {
  text_ += '<';
  text_ += name;
  for (const auto& [key, value] : attributes) {
    text_ += ' ';
    text_ += key;
    text_ += "=\"" + escaped(value) + '"';
  }
}

void Markup::close(const char* name) {
  text_ += "</";
  text_ += name;
  text_ += ">\n";
}

Markup::Element Markup::element(const char* name, Attributes attributes) {
  open(name, attributes);
  text_ += '>';
  return {*this, name};
}

void Markup::element(const char* name, Attributes attributes, std::string_view text) {
  open(name, attributes);
  text_ += '>' + escaped(text);
  close(name);
}

void Markup::empty_element(const char* name, Attributes attributes) {
  open(name, attributes);
  text_ += "/>";
}

void Markup::text(std::string_view text) {
  text_ += escaped(text);
}

}  // namespace fedmpi
