#pragma once

#include <cstddef>

#include <hdf5.h>

namespace fedmpi::hdf5 {

// Holds the bytes of a file that HDF5 makes in memory, once it is closed. HDF5 never sees the disk this way: 1.10
// crashes, then or at exit, when what it has to flush before closing does not fit there.
class Image {
 public:
  Image() = default;
  ~Image();
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  // The next file created with `access` ends here. *this must outlive it.
  void prepare(hid_t access);
  const char* bytes() const { return static_cast<const char*>(bytes_); }

 private:
  static herr_t release(void* bytes, H5FD_file_image_op_t operation, void* image);
  void* bytes_ = nullptr;
};

}  // namespace fedmpi::hdf5
