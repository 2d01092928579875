#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

// HDF5's own; not in its headers, but in its library.
extern "C" std::uint32_t H5_checksum_metadata(const void* bytes, std::size_t size, std::uint32_t start);

namespace fedmpi {

// The checksums that HDF5 puts at the end of each of its newer structures, so that damage can be made which they do not
// betray.
class Hdf5Checksums {
 public:
  // Of a file that is whole: where a checksum stands shows in that it is right.
  Hdf5Checksums(const std::uint8_t* bytes, std::size_t size) {
    for (std::size_t begin = 0; begin + 2 * width < size; ++begin) {
      if (is_signature({reinterpret_cast<const char*>(bytes) + begin, width})) find_end(bytes, size, begin);
    }
  }

  // Makes them right in bytes that were changed since.
  void repair(std::uint8_t* bytes) const {
    for (const auto& [begin, end] : structures_) {
      const std::uint32_t checksum = H5_checksum_metadata(bytes + begin, end - begin, 0);
      std::memcpy(bytes + end, &checksum, width);
    }
  }

 private:
  struct Structure {
    std::size_t begin, end;
  };
  static constexpr std::size_t width = 4;  // of a signature, and of a checksum
  static constexpr std::size_t longest = 600;

  static bool is_signature(std::string_view text) {
    constexpr std::string_view known[] = {"\211HDF", "OHDR", "OCHK", "FRHP", "FHIB", "BTHD", "BTLF", "BTIN",
                                          "FAHD",    "FADB", "EAHD", "EAIB", "EASB", "EADB", "FSHD", "FSSE"};
    return std::find(std::begin(known), std::end(known), text) != std::end(known);
  }

  void find_end(const std::uint8_t* bytes, std::size_t size, std::size_t begin) {
    const std::size_t last = std::min(size - width, begin + longest);
    for (std::size_t end = begin + width; end <= last; ++end) {
      const std::uint32_t checksum = H5_checksum_metadata(bytes + begin, end - begin, 0);
      if (std::memcmp(bytes + end, &checksum, width) != 0) continue;
      structures_.push_back({begin, end});
      return;
    }
  }

  std::vector<Structure> structures_;
};

}  // namespace fedmpi
