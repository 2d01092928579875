#pragma once

#include "markup.hpp"

#include <string>
#include <vector>

namespace fedmpi {

struct Column {
  std::string name;
  bool is_number = true;
};

struct Cell {
  std::string text;
  std::string css_class = {};
};

// A table that scrolls within its place where it is too wide. The first cell of a row names it. Rows may be shorter
// than the table.
void write_table(Markup& page, const std::vector<Column>& columns, const std::vector<std::vector<Cell>>& rows,
                 const std::string& css_class = "plain");

}  // namespace fedmpi
