#include "fedmpi/digest.hpp"

#include "file_error.hpp"

#include <cerrno>
#include <fstream>
#include <new>
#include <stdexcept>
#include <vector>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <xxhash.h>

namespace fedmpi {

namespace {

std::string to_hex(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

struct FreeState {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

}  // namespace

struct Digest::State {
  std::unique_ptr<XXH3_state_t, FreeState> hash{XXH3_createState()};
};

Digest::Digest() : state_(std::make_unique<State>()) {
  if (!state_->hash || XXH3_128bits_reset(state_->hash.get()) != XXH_OK) throw std::bad_alloc();
}

Digest::~Digest() = default;

void Digest::add(const void* bytes, std::size_t size) {
  if (size > 0 && XXH3_128bits_update(state_->hash.get(), bytes, size) != XXH_OK) {
    throw std::logic_error("digest: null bytes");
  }
}

std::string Digest::hex() const {
  return to_hex(XXH3_128bits_digest(state_->hash.get()));
}

std::string digest(std::string_view bytes) {
  return to_hex(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string digest(const at::Tensor& contiguous) {
  if (!contiguous.device().is_cpu() || !contiguous.is_contiguous()) {
    throw std::logic_error("digest: the tensor must be contiguous and on the CPU");
  }
  return to_hex(XXH3_128bits(contiguous.const_data_ptr(), contiguous.nbytes()));
}

std::string digest_file(const std::filesystem::path& path) {
  // Opening a directory succeeds and reading it fails without a word from the stream.
  if (std::filesystem::is_directory(path)) throw file_error(path, "is a directory, not a file");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw file_error(path, fmt::format("could not be opened: {}", errno_message()));
  Digest result;
  std::vector<char> block(1 << 20);
  while (file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    result.add(block.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) throw file_error(path, fmt::format("could not be read: {}", errno_message()));
  return result.hex();
}

}  // namespace fedmpi
