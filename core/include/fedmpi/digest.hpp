#pragma once

#include "fedmpi/export.hpp"

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// XXH3-128 of bytes fed in pieces, as 32 hexadecimal digits. It tells accidents apart, not adversaries.
class FEDMPI_API Digest {
 public:
  Digest();
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  void add(const void* bytes, std::size_t size);
  void add(std::string_view text) { add(text.data(), text.size()); }
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

FEDMPI_API std::string digest(std::string_view bytes);
FEDMPI_API std::string digest(const at::Tensor& contiguous);            // of the elements' bytes
FEDMPI_API std::string digest_file(const std::filesystem::path& path);  // FileError when it cannot be read

}  // namespace fedmpi
