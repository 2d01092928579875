#include "fedmpi/hdf5_file.hpp"

#include "file_error.hpp"
#include "hdf5_handle.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <limits>
#include <system_error>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace fedmpi {

using hdf5::Handle;

namespace {

constexpr std::uint64_t max_string_bytes = std::uint64_t{1} << 30;
constexpr std::uint64_t max_chunk_bytes = std::uint64_t{256} << 20;
constexpr std::uint64_t max_inflated_bytes = std::uint64_t{64} << 30;
constexpr std::uint64_t max_inflation = 1024;  // deflate's own limit is 1032
constexpr hsize_t max_members = 1 << 16;

struct ElementType {
  hid_t file;
  hid_t memory;
  at::ScalarType scalar;
};

// A function, as HDF5's names for types are calls that start the library.
std::array<ElementType, 6> element_types() {
  return {{{H5T_STD_U8LE, H5T_NATIVE_UINT8, at::kByte},
           {H5T_STD_U16LE, H5T_NATIVE_INT32, at::kInt},
           {H5T_STD_I32LE, H5T_NATIVE_INT32, at::kInt},
           {H5T_STD_I64LE, H5T_NATIVE_INT64, at::kLong},
           {H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, at::kFloat},
           {H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, at::kDouble}}};
}

ElementType element_type(hid_t type, const std::filesystem::path& path, const std::string& what) {
  for (const ElementType& known : element_types()) {
    if (H5Tequal(type, known.file) > 0) return known;
  }
  throw file_error(path, what +
                             " has an element type other than uint8, uint16, int32, int64, float32 and float64 (little "
                             "endian): write it with NumPy's astype(), for instance astype(\"int64\")");
}

std::uint64_t file_bytes(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) throw file_error(path, "its size could not be read: " + error.message());
  return size;
}

// False when there is no such object. Each step must be a hard link: others lead out of the file.
bool exists(hid_t file, const std::filesystem::path& path, const std::string& name) {
  for (std::size_t end = 1; end != std::string::npos && end < name.size();) {
    end = name.find('/', end + 1);
    const std::string prefix = name.substr(0, end);
    const htri_t found =
        hdf5::check_read(H5Lexists(file, prefix.c_str(), H5P_DEFAULT), path, prefix + " could not be read");
    if (found == 0) return false;
    H5L_info_t info;
    hdf5::check_read(H5Lget_info(file, prefix.c_str(), &info, H5P_DEFAULT), path, prefix + " could not be read");
    if (info.type != H5L_TYPE_HARD) {
      throw file_error(path, prefix + " is a soft or external link, which is not followed");
    }
  }
  return true;
}

Handle open_object(hid_t file, const std::filesystem::path& path, const std::string& name) {
  if (!exists(file, path, name)) throw file_error(path, "holds no " + name);
  Handle object(H5Oopen(file, name.c_str(), H5P_DEFAULT), H5Oclose);
  hdf5::check_read<hid_t>(object, path, name + " could not be opened");
  return object;
}

std::vector<std::int64_t> shape_of(hid_t space, const std::filesystem::path& path, const std::string& what) {
  const int rank = H5Sget_simple_extent_type(space) == H5S_SIMPLE ? H5Sget_simple_extent_ndims(space) : 0;
  if (rank < 1 || rank > hdf5::max_rank) throw file_error(path, what + " does not have 1 to 4 dimensions");
  std::array<hsize_t, hdf5::max_rank> dimensions{};
  hdf5::check_read(H5Sget_simple_extent_dims(space, dimensions.data(), nullptr), path, what + " has no readable shape");
  std::vector<std::int64_t> shape;
  for (int i = 0; i < rank; ++i) {
    if (dimensions[i] > std::numeric_limits<std::int32_t>::max() && rank > 1) {
      throw file_error(path, what + " has an absurd shape");
    }
    if (dimensions[i] >= (hsize_t{1} << 48)) throw file_error(path, what + " has an absurd shape");
    shape.push_back(static_cast<std::int64_t>(dimensions[i]));
  }
  return shape;
}

// Saturates instead of wrapping around.
std::uint64_t size_in_bytes(std::span<const std::int64_t> shape, std::size_t element_bytes) {
  std::uint64_t bytes = element_bytes;
  for (const std::int64_t length : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(length), &bytes)) {
      return std::numeric_limits<std::uint64_t>::max();
    }
  }
  return bytes;
}

// Whether one of the filters is deflate; throws at one that is not known.
bool check_filters(hid_t creation, const std::filesystem::path& path, const std::string& what) {
  bool deflated = false;
  const int num_filters = hdf5::check_read(H5Pget_nfilters(creation), path, what + " has no readable filters");
  for (int i = 0; i < num_filters; ++i) {
    unsigned flags = 0;
    unsigned config = 0;
    std::size_t num_values = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &num_values, nullptr, 0, nullptr, &config);
    if (filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_FLETCHER32) {
      throw file_error(path, fmt::format("{} uses filter {}; known are shuffle, deflate and fletcher32", what,
                                         static_cast<int>(filter)));
    }
    deflated = deflated || filter == H5Z_FILTER_DEFLATE;
  }
  return deflated;
}

// A chunk is held in memory whole, and a dataset that is not empty has stored at least one.
void check_chunks(hid_t creation, std::uint64_t limit, std::size_t element_bytes, const std::filesystem::path& path,
                  const std::string& what) {
  std::array<hsize_t, hdf5::max_rank> lengths{};
  const int rank =
      hdf5::check_read(H5Pget_chunk(creation, hdf5::max_rank, lengths.data()), path, what + " has no chunk sizes");
  const std::vector<std::int64_t> shape(lengths.begin(), lengths.begin() + std::clamp(rank, 0, hdf5::max_rank));
  if (rank > hdf5::max_rank || size_in_bytes(shape, element_bytes) > limit) {
    throw file_error(path, fmt::format("{} is stored in chunks of more than {} bytes", what, limit));
  }
}

void check_storage(hid_t dataset, std::uint64_t bytes, std::size_t element_bytes, const std::filesystem::path& path,
                   const std::string& what) {
  const Handle creation(H5Dget_create_plist(dataset), H5Pclose);
  hdf5::check_read<hid_t>(creation, path, what + " has no readable properties");
  const H5D_layout_t layout = H5Pget_layout(creation);
  if (layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED) {
    throw file_error(path, what + " is stored in another way than compact, contiguous or chunked");
  }
  if (H5Pget_external_count(creation) != 0) throw file_error(path, what + " is stored in other files");
  const std::uint64_t in_file = file_bytes(path);
  const std::uint64_t limit =
      check_filters(creation, path, what) ? std::min(in_file * max_inflation, max_inflated_bytes) : in_file;
  if (layout == H5D_CHUNKED) {
    check_chunks(creation, bytes == 0 ? max_chunk_bytes : std::min(limit, max_chunk_bytes), element_bytes, path, what);
  }
  if (bytes > limit) {
    throw file_error(path, fmt::format("{} claims {} bytes, more than a file of {} bytes holds", what, bytes, in_file));
  }
  // HDF5 does not compare them, and reads beyond what there is.
  if (layout != H5D_CHUNKED && H5Dget_storage_size(dataset) != bytes) {
    throw file_error(
        path, fmt::format("{} has {} bytes where its shape takes {}", what, H5Dget_storage_size(dataset), bytes));
  }
}

Handle open_attribute(hid_t file, const std::filesystem::path& path, const std::string& object, const std::string& name,
                      const std::string& what) {
  const Handle owner = open_object(file, path, object);
  if (hdf5::check_read(H5Aexists(owner, name.c_str()), path, what + " could not be read") == 0) {
    throw file_error(path, "holds no " + what);
  }
  Handle attribute(H5Aopen(owner, name.c_str(), H5P_DEFAULT), H5Aclose);
  hdf5::check_read<hid_t>(attribute, path, what + " could not be opened");
  const Handle space(H5Aget_space(attribute), H5Sclose);
  if (space < 0 || H5Sget_simple_extent_type(space) != H5S_SCALAR) {
    throw file_error(path, what + " is not a single value");
  }
  return attribute;
}

// Called by H5Aiterate2; a positive result ends the iteration.
herr_t add_name(hid_t, const char* name, const H5A_info_t*, void* names) {
  auto& list = *static_cast<std::vector<std::string>*>(names);
  if (list.size() >= max_members) return 1;
  list.emplace_back(name);
  return 0;
}

std::string attribute_label(const std::string& object, const std::string& name) {
  return fmt::format("attribute {} of {}", name, object);
}

}  // namespace

Hdf5Reader::Hdf5Reader(const std::filesystem::path& path) : path_(path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) throw file_error(path, "there is no such file");
  if (std::filesystem::is_directory(status)) throw file_error(path, "is a directory: name a file in it");
  // Opening a pipe would wait for ever.
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    throw file_error(path, "is not a file");
  const auto lock = hdf5::exclusive();
  hdf5::prepare_library();
  const Handle access = hdf5::file_access();
  if (H5Fis_hdf5(path.c_str()) == 0) throw file_error(path, "is no HDF5 file: name another, or make it again");
  file_ = hdf5::check_read(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), path, "it could not be opened");
}

Hdf5Reader::~Hdf5Reader() {
  const auto lock = hdf5::exclusive();
  H5Fclose(file_);
}

bool Hdf5Reader::has(const std::string& name) const {
  const auto lock = hdf5::exclusive();
  return exists(file_, path_, name);
}

std::vector<std::string> Hdf5Reader::members(const std::string& group) const {
  const auto lock = hdf5::exclusive();
  const std::string what = "group " + group;
  const Handle object = open_object(file_, path_, group);
  if (H5Iget_type(object) != H5I_GROUP) throw file_error(path_, group + " is not a group");
  H5G_info_t info;
  hdf5::check_read(H5Gget_info(object, &info), path_, what + " could not be read");
  if (info.nlinks > max_members) throw file_error(path_, what + " has too many members");
  std::vector<std::string> names;
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    std::array<char, 1024> name{};
    const ssize_t length = hdf5::check_read(
        H5Lget_name_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_INC, i, name.data(), name.size(), H5P_DEFAULT), path_,
        what + " could not be read");
    if (static_cast<std::size_t>(length) >= name.size()) throw file_error(path_, what + " has an absurdly long name");
    names.emplace_back(name.data(), static_cast<std::size_t>(length));
  }
  std::sort(names.begin(), names.end());
  return names;
}

at::Tensor Hdf5Reader::read(const std::string& name) const {
  const auto lock = hdf5::exclusive();
  const std::string what = "dataset " + name;
  const Handle object = open_object(file_, path_, name);
  if (H5Iget_type(object) != H5I_DATASET) throw file_error(path_, name + " is not a dataset");
  const Handle type(H5Dget_type(object), H5Tclose);
  hdf5::check_read<hid_t>(type, path_, what + " has no readable type");
  const ElementType element = element_type(type, path_, what);
  const Handle space(H5Dget_space(object), H5Sclose);
  hdf5::check_read<hid_t>(space, path_, what + " has no readable shape");
  const std::vector<std::int64_t> shape = shape_of(space, path_, what);
  const std::size_t element_bytes = H5Tget_size(type);
  check_storage(object, size_in_bytes(shape, element_bytes), element_bytes, path_, what);
  at::Tensor result = at::empty(shape, element.scalar);
  if (result.numel() > 0) {
    // A chunk that is missing in the file leaves its part as it is.
    std::memset(result.mutable_data_ptr(), 0, result.nbytes());
    hdf5::check_read(H5Dread(object, element.memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, result.mutable_data_ptr()), path_,
                     what + " could not be read");
  }
  return result;
}

std::vector<std::string> Hdf5Reader::attributes(const std::string& object) const {
  const auto lock = hdf5::exclusive();
  const Handle owner = open_object(file_, path_, object);
  std::vector<std::string> names;
  const herr_t done = H5Aiterate2(owner, H5_INDEX_NAME, H5_ITER_INC, nullptr, add_name, &names);
  hdf5::check_read(done, path_, "attributes of " + object + " could not be listed");
  if (done > 0) throw file_error(path_, object + " has too many attributes");
  std::sort(names.begin(), names.end());
  return names;
}

bool Hdf5Reader::has_attribute(const std::string& object, const std::string& name) const {
  const auto lock = hdf5::exclusive();
  const Handle owner = open_object(file_, path_, object);
  return hdf5::check_read(H5Aexists(owner, name.c_str()), path_, attribute_label(object, name) + " could not be read") >
         0;
}

std::string Hdf5Reader::read_string(const std::string& object, const std::string& name) const {
  const auto lock = hdf5::exclusive();
  const std::string what = attribute_label(object, name);
  const Handle attribute = open_attribute(file_, path_, object, name, what);
  const Handle type(H5Aget_type(attribute), H5Tclose);
  if (type < 0 || H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0) {
    throw file_error(path_, what + " is not a string of fixed length");
  }
  const std::size_t size = H5Tget_size(type);
  if (size > std::min(max_string_bytes, file_bytes(path_))) throw file_error(path_, what + " is too long");
  std::string text(size, '\0');
  hdf5::check_read(H5Aread(attribute, type, text.data()), path_, what + " could not be read");
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}

std::int64_t Hdf5Reader::read_integer(const std::string& object, const std::string& name) const {
  const auto lock = hdf5::exclusive();
  const std::string what = attribute_label(object, name);
  const Handle attribute = open_attribute(file_, path_, object, name, what);
  const Handle type(H5Aget_type(attribute), H5Tclose);
  for (const hid_t known : {H5T_STD_I32LE, H5T_STD_I64LE}) {
    if (type < 0 || H5Tequal(type, known) <= 0) continue;
    std::int64_t value = 0;
    hdf5::check_read(H5Aread(attribute, H5T_NATIVE_INT64, &value), path_, what + " could not be read");
    return value;
  }
  throw file_error(path_, what + " is not an int32 or int64");
}

}  // namespace fedmpi
