#include "table.hpp"

#include <string_view>

#include <fmt/format.h>

namespace fedmpi {

namespace {

// The name of a column or a row, a key or a directory mostly: it may be broken after each of `ends`.
void write_name(Markup& page, const char* scope, const char* css_class, std::string_view name, const char* ends) {
  const auto cell = page.element("th", {{"scope", scope}, {"class", css_class}});
  for (std::size_t end; (end = name.find_first_of(ends)) != std::string_view::npos; name.remove_prefix(end + 1)) {
    page.text(name.substr(0, end + 1));
    page.empty_element("wbr", {});
  }
  page.text(name);
}

}  // namespace

void write_table(Markup& page, const std::vector<Column>& columns, const std::vector<std::vector<Cell>>& rows,
                 const std::string& css_class) {
  const auto scroll =
      page.element("div", {{"class", "scroll"}, {"tabindex", "0"}, {"role", "region"}, {"aria-label", "table"}});
  const auto table = page.element("table", {{"class", css_class}});
  const auto kind = [&](std::size_t i) { return columns[i].is_number ? "number" : "word"; };
  {
    const auto head = page.element("thead");
    const auto row = page.element("tr");
    for (std::size_t i = 0; i < columns.size(); ++i) write_name(page, "col", kind(i), columns[i].name, "._");
  }
  const auto body = page.element("tbody");
  for (const std::vector<Cell>& cells : rows) {
    const auto row = page.element("tr");
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (i == 0)
        write_name(page, "row", kind(i), cells[i].text, columns[i].is_number ? "" : "/,");
      else
        page.element(
            "td", {{"class", cells[i].css_class.empty() ? kind(i) : fmt::format("{} {}", kind(i), cells[i].css_class)}},
            cells[i].text);
    }
  }
}

}  // namespace fedmpi
