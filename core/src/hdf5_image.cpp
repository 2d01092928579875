#include "hdf5_image.hpp"

#include <cstdlib>
#include <cstring>

namespace fedmpi::hdf5 {

namespace {

constexpr std::size_t growth_bytes = std::size_t{16} << 20;

void* allocate(std::size_t size, H5FD_file_image_op_t, void*) {
  return std::malloc(size);
}
void* copy(void* to, const void* from, std::size_t size, H5FD_file_image_op_t, void*) {
  return std::memcpy(to, from, size);
}
void* resize(void* bytes, std::size_t size, H5FD_file_image_op_t, void*) {
  return std::realloc(bytes, size);
}

// HDF5 copies and frees the pointer to the image along with its property lists.
void* same(void* image) {
  return image;
}
herr_t keep(void*) {
  return 0;
}

}  // namespace

Image::~Image() {
  std::free(bytes_);
}

void Image::prepare(hid_t access) {
  H5Pset_fapl_core(access, growth_bytes, false);
  H5FD_file_image_callbacks_t callbacks{allocate, copy, resize, release, same, keep, this};
  H5Pset_file_image_callbacks(access, &callbacks);
}

herr_t Image::release(void* bytes, H5FD_file_image_op_t operation, void* image) {
  if (operation != H5FD_FILE_IMAGE_OP_FILE_CLOSE) {
    std::free(bytes);
    return 0;
  }
  // A file of that name on the disk is read and closed first: then this is called twice.
  void*& held = static_cast<Image*>(image)->bytes_;
  std::free(held);
  held = bytes;
  return 0;
}

}  // namespace fedmpi::hdf5
