#include "fedmpi/hdf5_file.hpp"
#include "file_error.hpp"
#include "hdf5_handle.hpp"
#include "hdf5_image.hpp"
#include "whole_file.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <unistd.h>

namespace fedmpi {

using hdf5::Handle;

namespace {

constexpr std::int64_t chunk_bytes = 4 << 20;

struct StoredType {
  hid_t file;
  hid_t memory;
};

StoredType stored_type(at::ScalarType scalar, const std::filesystem::path& path, const std::string& what) {
  switch (scalar) {
    case at::kByte:
      return {H5T_STD_U8LE, H5T_NATIVE_UINT8};
    case at::kInt:
      return {H5T_STD_I32LE, H5T_NATIVE_INT32};
    case at::kLong:
      return {H5T_STD_I64LE, H5T_NATIVE_INT64};
    case at::kFloat:
      return {H5T_IEEE_F32LE, H5T_NATIVE_FLOAT};
    case at::kDouble:
      return {H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE};
    default:
      throw file_error(path, fmt::format("{} could not be written: elements of type {} have no form in the file", what,
                                         c10::toString(scalar)));
  }
}

// Whole trailing dimensions as long as they fit, then as many as fit of the next one.
std::vector<hsize_t> chunk_shape(at::IntArrayRef shape, std::int64_t element_bytes) {
  std::int64_t room = std::max<std::int64_t>(1, chunk_bytes / element_bytes);
  std::vector<hsize_t> chunk(shape.size());
  for (std::size_t i = shape.size(); i-- > 0;) {
    const std::int64_t length = std::min(shape[i], room);
    chunk[i] = static_cast<hsize_t>(length);
    room = std::max<std::int64_t>(1, room / length);
  }
  return chunk;
}

void write_dataset(hid_t file, const std::filesystem::path& path, const std::string& name, const at::Tensor& tensor,
                   StoredType type, bool checksummed) {
  const std::string what = "dataset " + name + " could not be written";
  if (tensor.dim() < 1 || tensor.dim() > hdf5::max_rank)
    throw file_error(path, what + ": it has not 1 to 4 dimensions");
  const at::Tensor data = tensor.to(at::kCPU).contiguous();
  const std::vector<hsize_t> shape(data.sizes().begin(), data.sizes().end());
  const Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose);
  const Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(links, 1);
  const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
  H5Pset_obj_track_times(creation, false);
  if (checksummed && data.numel() > 0) {
    const std::vector<hsize_t> chunk = chunk_shape(data.sizes(), static_cast<std::int64_t>(H5Tget_size(type.file)));
    hdf5::check(H5Pset_chunk(creation, static_cast<int>(chunk.size()), chunk.data()), path, what);
    hdf5::check(H5Pset_fletcher32(creation), path, what);
  }
  const Handle dataset(H5Dcreate2(file, name.c_str(), type.file, space, links, creation, H5P_DEFAULT), H5Dclose);
  hdf5::check<hid_t>(dataset, path, what);
  if (data.numel() > 0) {
    const herr_t written = H5Dwrite(dataset, type.memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data.const_data_ptr());
    hdf5::check(written, path, what);
  }
}

void write_attribute(hid_t file, const std::filesystem::path& path, const std::string& object, const std::string& name,
                     hid_t type, hid_t memory_type, const void* value) {
  const std::string what = fmt::format("attribute {} of {} could not be written", name, object);
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle attribute(
      H5Acreate_by_name(file, object.c_str(), name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose);
  hdf5::check<hid_t>(attribute, path, what);
  hdf5::check(H5Awrite(attribute, memory_type, value), path, what);
}

}  // namespace

Hdf5Writer::Hdf5Writer(std::filesystem::path path) : path_(std::move(path)), image_(std::make_unique<hdf5::Image>()) {
  const auto lock = hdf5::exclusive();
  hdf5::prepare_library();
  const std::filesystem::path directory = path_.parent_path();
  if (::access(directory.empty() ? "." : directory.c_str(), W_OK) != 0) {
    throw file_error(path_, "could not be created: " + errno_message());
  }
  const Handle access = hdf5::file_access();
  // The oldest format in which HDF5 checksums its own structures and lets an attribute exceed 64 KiB.
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  // No space set aside for more: the file ends with what is needed, so that one that is cut short is known by its
  // length.
  H5Pset_meta_block_size(access, 0);
  H5Pset_small_data_block_size(access, 0);
  image_->prepare(access);
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5Pset_obj_track_times(creation, false);  // equal content, equal bytes
  file_ = hdf5::check(H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, creation, access), path_, "could not be created");
}

Hdf5Writer::~Hdf5Writer() {
  if (file_ < 0) return;
  const auto lock = hdf5::exclusive();
  H5Fclose(file_);
}

void Hdf5Writer::write(const std::string& name, const at::Tensor& tensor, bool checksummed) {
  const auto lock = hdf5::exclusive();
  write_dataset(file_, path_, name, tensor, stored_type(tensor.scalar_type(), path_, "dataset " + name), checksummed);
}

void Hdf5Writer::write_uint16(const std::string& name, const at::Tensor& int32_tensor) {
  const auto lock = hdf5::exclusive();
  if (int32_tensor.scalar_type() != at::kInt) throw std::logic_error("write_uint16: the tensor must be int32");
  if (int32_tensor.numel() > 0) {
    const auto [low, high] = at::aminmax(int32_tensor);
    if (low.item<int>() < 0 || high.item<int>() > std::numeric_limits<std::uint16_t>::max()) {
      throw file_error(path_, fmt::format("dataset {} could not be written: a value does not fit in uint16", name));
    }
  }
  write_dataset(file_, path_, name, int32_tensor, {H5T_STD_U16LE, H5T_NATIVE_INT32}, true);
}

void Hdf5Writer::write_string(const std::string& object, const std::string& name, const std::string& value) {
  if (value.find('\0') != std::string::npos) {
    throw file_error(path_, fmt::format("attribute {} of {} could not be written: it holds a zero byte", name, object));
  }
  const auto lock = hdf5::exclusive();
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, std::max<std::size_t>(1, value.size()));  // HDF5 has no strings of size 0
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  write_attribute(file_, path_, object, name, type, type, value.c_str());
}

void Hdf5Writer::write_integer(const std::string& object, const std::string& name, std::int64_t value) {
  const auto lock = hdf5::exclusive();
  write_attribute(file_, path_, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

std::string_view Hdf5Writer::finish() {
  if (file_ < 0) throw std::logic_error("Hdf5Writer::commit: called twice");
  const std::string what = "could not be written";
  const auto lock = hdf5::exclusive();
  hdf5::check(H5Fflush(file_, H5F_SCOPE_GLOBAL), path_, what);
  const ssize_t size = hdf5::check(H5Fget_file_image(file_, nullptr, 0), path_, what);
  hdf5::check(H5Fclose(std::exchange(file_, H5I_INVALID_HID)), path_, what);
  return {image_->bytes(), static_cast<std::size_t>(size)};
}

void Hdf5Writer::commit() {
  write_whole_file(path_, finish());
  image_.reset();
}

void Hdf5Writer::place() {
  place_whole_file(path_, finish());
  image_.reset();
}

}  // namespace fedmpi
