// A table behind a first byte that says how it is to be read: its rows are read, or it is refused with a FileError that
// names it.
#include "fedmpi/error.hpp"
#include "input_file.hpp"
#include "record_reader.hpp"

using namespace fedmpi;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  const unsigned how = bytes[0];
  const Dialect dialect{static_cast<TableFormat>(how % 3), how / 3 % 2 == 0, how / 6 % 2 == 0};
  const bool by_number = !dialect.header && dialect.format != TableFormat::jsonl;
  const InputFile input(text_of(bytes + 1, size - 1));
  try {
    const auto reader = open_records(
        input.path(), dialect, by_number ? std::vector<std::string>{"1", "2"} : std::vector<std::string>{"a", "b"});
    for (std::vector<std::string> values; reader->next(values);) {
      require(values.size() == 2, "not every column has a value");
      require(values[0].size() + values[1].size() <= size, "more is read than is there");
    }
    require(reader->bytes_read() == static_cast<std::int64_t>(size - 1), "not all of it was read");
  } catch (const FileError& error) {
    require(error.path == input.path(), "the error names another file");
  }
  return 0;
}
