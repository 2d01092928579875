#include "table.hpp"

#include <fmt/format.h>

namespace fedmpi {

void write_table(Markup& page, const std::vector<Column>& columns, const std::vector<std::vector<Cell>>& rows,
                 const std::string& css_class) {
  const auto scroll =
      page.element("div", {{"class", "scroll"}, {"tabindex", "0"}, {"role", "region"}, {"aria-label", "table"}});
  const auto table = page.element("table", {{"class", css_class}});
  const auto kind = [&](std::size_t i) { return columns[i].is_number ? "number" : "word"; };
  {
    const auto head = page.element("thead");
    const auto row = page.element("tr");
    for (std::size_t i = 0; i < columns.size(); ++i)
      page.element("th", {{"scope", "col"}, {"class", kind(i)}}, columns[i].name);
  }
  const auto body = page.element("tbody");
  for (const std::vector<Cell>& cells : rows) {
    const auto row = page.element("tr");
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (i == 0)
        page.element("th", {{"scope", "row"}, {"class", kind(i)}}, cells[i].text);
      else
        page.element(
            "td", {{"class", cells[i].css_class.empty() ? kind(i) : fmt::format("{} {}", kind(i), cells[i].css_class)}},
            cells[i].text);
    }
  }
}

}  // namespace fedmpi
