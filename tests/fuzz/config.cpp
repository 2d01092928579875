// A config.json gives a configuration that the model can be built from, or is refused with a FileError.
#include "config.hpp"

#include "fedmpi/error.hpp"
#include "input_file.hpp"

using namespace fedmpi;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const InputFile input(text_of(bytes, size));
  try {
    const TransformerConfig config = read_transformer_config(input.path());
    require(config.width == config.num_heads * config.head_width() && config.head_width() > 0, "the heads do not fit");
    require(config.vocabulary_size > 0 && config.max_positions > 0 && config.num_layers > 0, "a size is missing");
    require(config.dropout >= 0.0 && config.dropout < 1.0, "dropout is no probability");
  } catch (const FileError& error) {
    require(error.path == input.path(), "the error names another file");
  }
  return 0;
}
