#include "fedmpi/file_kind.hpp"

#include "fedmpi/hdf5_file.hpp"
#include "file_error.hpp"
#include "rehearsal.hpp"

#include <array>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace fedmpi {

namespace {

constexpr const char* known = "shards of texts or arrays, and a run's checkpoints with what lies beside them, are read";

constexpr std::array<std::pair<const char*, FileKind>, 3> schemas{{{"fedmpi-shard", FileKind::text_shard},
                                                                   {"fedmpi-checkpoint", FileKind::checkpoint},
                                                                   {"fedmpi-partial-round", FileKind::partial_round}}};

void check_signature(const std::filesystem::path& path) {
  constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw file_error(path, "there is no such file");
  if (std::filesystem::is_directory(status))
    throw file_error(path, "is a directory: give one of its files, such as train.h5 or checkpoints/round_0001.h5");
  if (!std::filesystem::is_regular_file(status)) throw file_error(path, "is not a regular file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw file_error(path, "cannot be opened: " + errno_message());
  std::array<char, signature.size()> bytes{};
  file.read(bytes.data(), bytes.size());
  if (!file || std::string_view(bytes.data(), bytes.size()) != signature)
    throw file_error(path, fmt::format("is no HDF5 file: {}", known));
}

FileKind kind_of(const std::filesystem::path& path) {
  const Hdf5Reader file(path);
  // Users write arrays, with attributes of their own.
  if (file.has("/features") && file.has("/labels")) return FileKind::array_shard;
  if (file.has_attribute("/", "schema")) {
    const std::string schema = file.read_string("/", "schema");
    for (const auto& [name, kind] : schemas)
      if (schema == name) return kind;
  } else if (file.has("/kept")) {
    return FileKind::client_state;
  }
  throw file_error(path, fmt::format("is an HDF5 file of some other program: {}", known));
}

}  // namespace

FileKind file_kind(const std::filesystem::path& path) {
  check_signature(path);
  rehearse(path, [&path] { kind_of(path); });
  return kind_of(path);
}

}  // namespace fedmpi
