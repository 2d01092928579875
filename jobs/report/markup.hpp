#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace fedmpi {

using Attributes = std::initializer_list<std::pair<const char*, std::string>>;

// A page that grows element by element. Whatever it is given as text or as an attribute's value is escaped; names of
// elements and attributes are the program's own. The result is well-formed as HTML and as XML.
class Markup {
 public:
  // Closes its element at the end of its scope.
  class Element {
   public:
    Element(Markup& markup, const char* name) : markup_{markup}, name_{name} {}
    ~Element() { markup_.close(name_); }
    Element(const Element&) = delete;
    Element& operator=(const Element&) = delete;

   private:
    Markup& markup_;
    const char* name_;
  };

  explicit Markup(std::string start) : text_{std::move(start)} {}
  [[nodiscard]] Element element(const char* name, Attributes attributes = {});
  void element(const char* name, Attributes attributes, std::string_view text);
  void empty_element(const char* name, Attributes attributes);
  void text(std::string_view text);
  void own(const char* markup) { text_ += markup; }  // as it is: a literal of the program
  std::string take() { return std::move(text_); }

 private:
  void open(const char* name, Attributes attributes);
  void close(const char* name);
  std::string text_;
};

// Text from anywhere as text that can be shown: what is not UTF-8 and what is not to be seen becomes U+FFFD.
std::string shown(std::string_view text);

// The same as HTML or XML text or attribute value.
std::string escaped(std::string_view text);

}  // namespace fedmpi
