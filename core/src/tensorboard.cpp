#include "tensorboard.hpp"

#include "file_error.hpp"
#include "metrics_fields.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include <boost/crc.hpp>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace fedmpi {

namespace {

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

template <typename Word>
std::string little_endian(Word word) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(Word); ++i) bytes += static_cast<char>(word >> (8 * i) & 0xff);
  return bytes;
}

// Protocol buffers: a number in groups of seven bits, and fields that begin with their number and kind.
std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7f) | 0x80);
  return bytes + static_cast<char>(value);
}
std::string tag(std::uint64_t field, std::uint64_t kind) {
  return varint(field << 3 | kind);
}
std::string varint_field(std::uint64_t field, std::uint64_t value) {
  return tag(field, 0) + varint(value);
}
std::string double_field(std::uint64_t field, double value) {
  return tag(field, 1) + little_endian(std::bit_cast<std::uint64_t>(value));
}
std::string bytes_field(std::uint64_t field, std::string_view bytes) {
  return tag(field, 2) + varint(bytes.size()) + std::string(bytes);
}
std::string float_field(std::uint64_t field, float value) {
  return tag(field, 5) + little_endian(std::bit_cast<std::uint32_t>(value));
}

// Field numbers of TensorFlow's event.proto and summary.proto.
std::string version_event() {
  return double_field(1, wall_time()) + bytes_field(3, "brain.Event:2");
}

std::string scalar_value(std::string name, double value) {
  std::replace(name.begin(), name.end(), '.', '/');
  return bytes_field(1, bytes_field(1, name) + float_field(2, static_cast<float>(value)));
}

std::string round_event(const RoundMetrics& metrics) {
  struct {
    std::string summary;
    void operator()(const char* name, double value) { summary += scalar_value(name, value); }
    void operator()(const char* name, const std::optional<double>& value) {
      if (value) (*this)(name, *value);
    }
    void operator()(const char*, const std::string&) {}
    void operator()(const char*, std::int64_t) {}
    void operator()(const char*, int) {}
    void operator()(const char*, const std::optional<std::int64_t>&) {}
  } scalars;
  for_each_field(metrics, std::ref(scalars));
  return double_field(1, wall_time()) + varint_field(2, static_cast<std::uint64_t>(metrics.round)) +
         bytes_field(5, scalars.summary);
}

// CRC-32C, rotated and shifted as TFRecord has it.
std::string masked_checksum(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return little_endian(std::rotr(static_cast<std::uint32_t>(crc.checksum()), 15) + 0xa282ead8U);
}

std::filesystem::path event_path(const std::filesystem::path& directory) {
  utsname host{};
  ::uname(&host);
  return directory / fmt::format("events.out.tfevents.{:010}.{}.{}.0", static_cast<std::int64_t>(wall_time()),
                                 host.nodename, ::getpid());
}

}  // namespace

EventWriter::EventWriter(const std::filesystem::path& directory)
    : path_(event_path(directory)), file_(path_, std::ios::binary | std::ios::app) {
  write_record(version_event());
}

void EventWriter::write(const RoundMetrics& metrics) {
  write_record(round_event(metrics));
}

void EventWriter::write_record(std::string_view message) {
  const std::string length = little_endian(static_cast<std::uint64_t>(message.size()));
  errno = 0;
  file_ << length << masked_checksum(length) << message << masked_checksum(message) << std::flush;
  if (!file_) throw file_error(path_, "could not be written: " + errno_message());
}

}  // namespace fedmpi
