#pragma once

#include <filesystem>
#include <mutex>
#include <string>
#include <utility>

#include <hdf5.h>

namespace fedmpi::hdf5 {

// Owns an identifier of any kind.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle(hid_t id, Close closer) : id_(id), close_(closer) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }

  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  Close close_;
};

// HDF5 serves one thread at a time: whoever calls it holds this, and whoever forks, so that the child finds it in
// order.
[[nodiscard]] std::unique_lock<std::mutex> exclusive();

// Before the first call: HDF5 prints nothing and loads no filter plugin because a file asks for it.
void prepare_library();

inline constexpr int max_rank = 4;  // of a dataset
inline constexpr const char* damage_advice = "make it again, or copy it again from where it is whole";

// Access properties for every file: no locks (some cluster file systems have none), and closing closes all.
Handle file_access();

// Throws FileError "PATH: WHAT: why", in the system's words where it is the system that fails, else in HDF5's.
[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what);

// The same of a file that is read: where HDF5 can make nothing of it, it is damaged, and that is all there is to say.
[[noreturn]] void fail_to_read(const std::filesystem::path& path, const std::string& what);

// The result of a call, unless it tells of a failure.
template <typename Result>
Result check(Result result, const std::filesystem::path& path, const std::string& what) {
  if (result < 0) fail(path, what);
  return result;
}
template <typename Result>
Result check_read(Result result, const std::filesystem::path& path, const std::string& what) {
  if (result < 0) fail_to_read(path, what);
  return result;
}

}  // namespace fedmpi::hdf5
