#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/strategy.hpp"

#include <filesystem>
#include <span>

namespace fedmpi {

// Writes a safetensors file of float32 tensors, one after another in this order, with the metadata {"format": "pt"}
// that PyTorch's users ask for. UserError for a name that the format cannot hold or that comes twice, Error when the
// file cannot be written; what was written until then stays.
FEDMPI_API void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors);

}  // namespace fedmpi
