#pragma once

#include "example_source.hpp"
#include "record_reader.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace fedmpi {

// Labelled texts in tables.
struct TableSettings {
  Dialect dialect;
  std::vector<std::filesystem::path> files;       // to train on
  std::vector<std::filesystem::path> test_files;  // none: test_fraction of the examples in `files` are the test split
  double test_fraction = 0.2;                     // in (0, 1), rounded to the nearest number of examples, at least one
  std::string text, label;                        // columns
  std::string key;                                // column; "": no keys
};

// Labels are numbered in the order of their names (as numbers where all are whole numbers), keys that are not all whole
// numbers too. The examples for testing are chosen by `seed`. Throws UserError for settings that make no sense and
// FileError for a file that is missing or lacks a column; the source throws FileErrors with file and line, as for a
// label that is empty or that only test files have.
std::unique_ptr<ExampleSource> open_table(const TableSettings& settings, std::uint64_t seed);

}  // namespace fedmpi
