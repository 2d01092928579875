// A file of arrays is read whole, for either task, or refused with a FileError that names it, and nothing of it stays
// open.
#include "fedmpi/array_shard.hpp"

#include "fedmpi/error.hpp"
#include "input_file.hpp"

#include <hdf5.h>

using namespace fedmpi;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const InputFile input(text_of(bytes, size));
  for (const Task task : {Task::classification, Task::regression}) {
    try {
      const ArrayShard shard = read_array_shard(input.path(), task);
      require(shard.labels.defined() != shard.targets.defined(), "labels for regression, or none without it");
    } catch (const FileError& error) {
      require(error.path == input.path(), "the error names another file");
    }
  }
  require(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL) == 0, "the file is still open");
  return 0;
}
