#include "fedmpi/safetensors_writer.hpp"

#include "file_error.hpp"

#include <bit>
#include <cstdint>
#include <fstream>
#include <string>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fedmpi {

namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr const char* metadata = "__metadata__";
constexpr std::size_t alignment = 8;  // of the data, which begins after the header

std::string header_of(std::span<const NamedTensor> tensors) {
  nlohmann::ordered_json header{{metadata, {{"format", "pt"}}}};
  std::size_t end = 0;
  for (const auto& [name, tensor] : tensors) {
    if (header.contains(name))
      throw UserError(fmt::format("the tensor '{}' cannot be written to a safetensors file: {}", name,
                                  name == metadata ? "the name has a meaning there" : "there are two of that name"));
    const std::size_t begin = end;
    end += tensor.nbytes();
    header[name] = {{"dtype", "F32"}, {"shape", tensor.sizes().vec()}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + alignment - 1) / alignment * alignment, ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors) {
  for (const NamedTensor& one : tensors) TORCH_INTERNAL_ASSERT(one.tensor.scalar_type() == at::kFloat);
  const std::string header = header_of(tensors);
  const std::uint64_t length = header.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << header;
  for (const NamedTensor& one : tensors) {
    const at::Tensor tensor = one.tensor.contiguous();
    file.write(static_cast<const char*>(tensor.const_data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
  }
  file.close();
  if (!file) throw Error(file_error(path, "could not be written: is the disk full?").what());
}

}  // namespace fedmpi
