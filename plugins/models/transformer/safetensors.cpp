#include "safetensors.hpp"

#include "fedmpi/error.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fedmpi {
namespace {

// The format's own limit is 100 MB; a header has about 100 bytes a tensor.
constexpr std::uint64_t max_header_bytes = 16U << 20U;

// Of the types the format knows; 0 for any other word.
std::size_t element_bytes(const std::string& type) {
  for (const char* name : {"BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3"})
    if (type == name) return 1;
  for (const char* name : {"U16", "I16", "F16", "BF16"})
    if (type == name) return 2;
  for (const char* name : {"U32", "I32", "F32"})
    if (type == name) return 4;
  for (const char* name : {"U64", "I64", "F64"})
    if (type == name) return 8;
  return 0;
}

bool to_size(const nlohmann::json& value, std::size_t& size) {
  if (!value.is_number_unsigned()) return false;
  size = value.get<std::size_t>();
  return size <= std::size_t{1} << 62U;
}

template <class Stored>
void convert(const std::byte* from, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, from + i * sizeof(Stored), sizeof(Stored));
    out[i] = static_cast<float>(value);
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_{path} {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw FileError(fmt::format("{} cannot be opened: {}", path.string(), std::strerror(errno)), path);
  struct stat status {};
  const bool usable = ::fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size >= 8;
  void* mapped = MAP_FAILED;
  if (usable) {
    size_ = static_cast<std::size_t>(status.st_size);
    mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
  }
  ::close(file);
  if (!usable) fail("is not a regular file of at least 8 bytes");
  if (mapped == MAP_FAILED) fail("cannot be mapped into memory");
  bytes_ = static_cast<const std::byte*>(mapped);
  try {
    parse_header();
    check_coverage();
  } catch (...) {
    ::munmap(mapped, size_);
    throw;
  }
}

SafetensorsFile::~SafetensorsFile() {
  ::munmap(const_cast<std::byte*>(bytes_), size_);
}

void SafetensorsFile::fail(const std::string& what) const {
  throw FileError(fmt::format("{} {}", path_.string(), what), path_);
}

void SafetensorsFile::parse_header() {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes_, sizeof length);
  if (length > max_header_bytes) fail(fmt::format("claims a header of {} bytes: not a safetensors file", length));
  if (length > size_ - 8) fail("is truncated: its header goes beyond its end");
  data_begin_ = 8 + static_cast<std::size_t>(length);
  const auto* text = reinterpret_cast<const char*>(bytes_) + 8;
  constexpr int max_depth = 4;
  bool too_deep = false;
  const auto header = nlohmann::json::parse(
      text, text + length,
      [&too_deep](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
        if (depth > max_depth) too_deep = true;
        return !too_deep;
      },
      false);
  if (too_deep || !header.is_object()) fail("has a header that is not a JSON object of tensors");
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") continue;
    Entry entry;
    if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() || !value.contains("shape") ||
        !value["shape"].is_array() || !value.contains("data_offsets") || !value["data_offsets"].is_array() ||
        value["data_offsets"].size() != 2 || !to_size(value["data_offsets"][0], entry.begin) ||
        !to_size(value["data_offsets"][1], entry.end)) {
      fail(fmt::format("describes tensor '{}' in a way that is not understood", name));
    }
    entry.type = value["dtype"].get<std::string>();
    std::size_t bytes = element_bytes(entry.type);
    if (bytes == 0) fail(fmt::format("has tensor '{}' of the unknown type '{}'", name, entry.type));
    for (const auto& length_of_axis : value["shape"]) {
      std::size_t axis = 0;
      if (!to_size(length_of_axis, axis) || __builtin_mul_overflow(bytes, axis, &bytes)) {
        fail(fmt::format("has tensor '{}' of an impossible shape", name));
      }
      entry.shape.push_back(static_cast<std::int64_t>(axis));
    }
    if (entry.begin > entry.end || entry.end > size_ - data_begin_) {
      fail(fmt::format("has tensor '{}' beyond its end (truncated?)", name));
    }
    if (entry.end - entry.begin != bytes) {
      fail(fmt::format("has {} bytes for tensor '{}', whose shape and type take {}", entry.end - entry.begin, name,
                       bytes));
    }
    entries_.emplace(name, std::move(entry));
  }
}

// The format allows neither overlaps nor holes.
void SafetensorsFile::check_coverage() const {
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  for (const auto& [name, entry] : entries_) ranges.emplace_back(entry.begin, entry.end);
  std::ranges::sort(ranges);
  std::size_t reached = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != reached) fail(fmt::format("has tensors that overlap or leave a hole at byte {} of its data", reached));
    reached = end;
  }
  if (reached != size_ - data_begin_) fail("has bytes after its last tensor");
}

void SafetensorsFile::read(const std::string& name, const std::vector<std::int64_t>& shape, float* out) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail(fmt::format("lacks tensor '{}'", name));
  const Entry& entry = found->second;
  if (entry.shape != shape) {
    fail(fmt::format("has tensor '{}' of shape [{}] where [{}] is needed", name, fmt::join(entry.shape, ", "),
                     fmt::join(shape, ", ")));
  }
  const std::byte* from = bytes_ + data_begin_ + entry.begin;
  const std::size_t count = (entry.end - entry.begin) / element_bytes(entry.type);
  if (entry.type == "F32") {
    if (count > 0) std::memcpy(out, from, count * sizeof(float));  // an empty tensor may have no memory
  } else if (entry.type == "F16") {
    convert<c10::Half>(from, count, out);
  } else if (entry.type == "BF16") {
    convert<c10::BFloat16>(from, count, out);
  } else {
    fail(fmt::format("stores tensor '{}' as {}; F32, F16 and BF16 can be read", name, entry.type));
  }
}

}  // namespace fedmpi
