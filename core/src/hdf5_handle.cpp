#include "hdf5_handle.hpp"

#include "file_error.hpp"

namespace fedmpi::hdf5 {

namespace {

herr_t take_first(unsigned, const H5E_error2_t* error, void* text) {
  *static_cast<std::string*>(text) = error->desc != nullptr ? error->desc : "";
  return 1;  // the walk starts at the innermost message and ends here
}

}  // namespace

std::unique_lock<std::mutex> exclusive() {
  static std::mutex mutex;
  return std::unique_lock(mutex);
}

void prepare_library() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  H5PLset_loading_state(0);
}

Handle file_access() {
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 12, 1) || (H5_VERS_MINOR == 10 && H5_VERS_RELEASE >= 7)
  H5Pset_file_locking(access, false, true);
#endif
  return access;
}

std::string last_error() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, &text);
  const std::string marker = "error message = '";
  if (const auto begin = text.find(marker); begin != std::string::npos) {
    const auto end = text.find('\'', begin + marker.size());
    if (end != std::string::npos) return text.substr(begin + marker.size(), end - begin - marker.size());
  }
  return text.empty() ? "unknown HDF5 error" : text;
}

void fail(const std::filesystem::path& path, const std::string& what) {
  throw file_error(path, what + ": " + last_error());
}

}  // namespace fedmpi::hdf5
