#include "hdf5_handle.hpp"

#include "file_error.hpp"

#include <fmt/format.h>

namespace fedmpi::hdf5 {

namespace {

herr_t take_first(unsigned, const H5E_error2_t* error, void* text) {
  *static_cast<std::string*>(text) = error->desc != nullptr ? error->desc : "";
  return 1;  // the walk starts at the innermost message and ends here
}

// Of HDF5's last failure, the innermost message.
std::string last_error() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, &text);
  return text.empty() ? "unknown HDF5 error" : text;
}

// The system's own message in that, or "".
std::string system_error(const std::string& text) {
  const std::string marker = "error message = '";
  const auto begin = text.find(marker);
  if (begin == std::string::npos) return "";
  const auto end = text.find('\'', begin + marker.size());
  return end == std::string::npos ? "" : text.substr(begin + marker.size(), end - begin - marker.size());
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

void fail(const std::filesystem::path& path, const std::string& what) {
  const std::string text = last_error(), reason = system_error(text);
  throw file_error(path, what + ": " + (reason.empty() ? text : reason));
}

void fail_to_read(const std::filesystem::path& path, const std::string& what) {
  const std::string reason = system_error(last_error());
  throw file_error(path, reason.empty() ? fmt::format("is cut short or damaged ({}): {}", what, damage_advice)
                                        : what + ": " + reason);
}

}  // namespace fedmpi::hdf5
