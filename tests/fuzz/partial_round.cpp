// What is kept of a round is read whole, or refused with a FileError that names it, and nothing of it stays open.
#include "fedmpi/partial_round.hpp"

#include "fedmpi/error.hpp"
#include "input_file.hpp"

#include <hdf5.h>

using namespace fedmpi;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const InputFile input(text_of(bytes, size));
  try {
    load_partial_round(input.path());
  } catch (const FileError& error) {
    require(error.path == input.path(), "the error names another file");
  }
  require(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL) == 0, "the file is still open");
  return 0;
}
