// Tensors of a safetensors file are read into buffers of exactly their size, or the file is refused with a FileError.
#include "safetensors.hpp"

#include "fedmpi/error.hpp"
#include "input_file.hpp"

#include <numeric>
#include <vector>

using namespace fedmpi;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const InputFile input(text_of(bytes, size));
  try {
    const SafetensorsFile file(input.path());
    // The names and shapes of the seeds.
    for (const auto& [name, shape] :
         {std::pair<const char*, std::vector<std::int64_t>>{"a", {2}}, {"b", {1, 3}}, {"c", {}}}) {
      std::vector<float> values(std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>()));
      if (file.contains(name)) file.read(name, shape, values.data());
    }
  } catch (const FileError& error) {
    require(error.path == input.path(), "the error names another file");
  }
  return 0;
}
