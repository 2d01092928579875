#include "device.hpp"

#include "fedmpi/error.hpp"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <boost/dll/shared_library.hpp>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <fmt/format.h>

namespace fedmpi {

namespace {

namespace fs = std::filesystem;

// The CUDA half of LibTorch lies beside the other, which alone is linked: so one build runs where there is no CUDA.
void load_cuda() {
  Dl_info where{};
  ::dladdr(reinterpret_cast<const void*>(&at::get_num_threads), &where);
  const fs::path directory = fs::path(where.dli_fname != nullptr ? where.dli_fname : "").parent_path();
  const fs::path file = directory / "libtorch_cuda.so";
  std::error_code error;
  if (!fs::exists(file, error))
    throw UserError(
        fmt::format("run.device = \"cuda\" needs a LibTorch with CUDA, and the one in {} has none: build fedmpi with "
                    "another (LibTorch_ROOT), or set run.device = \"cpu\"",
                    directory.string()));
  // Kept for ever, as plugins are.
  static auto& library = *new boost::dll::shared_library;
  if (library.is_loaded()) return;
  library.load(file, error, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
  if (error) {
    const char* reason = ::dlerror();
    throw UserError(fmt::format("run.device = \"cuda\": {} cannot be loaded: {}", file.string(),
                                reason != nullptr ? reason : error.message()));
  }
}

void make_deterministic() {
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  context.setDeterministicFillUninitializedMemory(false);  // a search for errors, at the price of a kernel a tensor
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
  context.setAllowTF32CuBLAS(false);
  context.setAllowTF32CuDNN(false);
  context.setAllowBF16ReductionCuBLAS(false);
}

// As the driver calls it, of which LibTorch's CPU half knows nothing.
std::string name_of_gpu(int index) {
  using Get = int (*)(int*, int);
  using GetName = int (*)(char*, int, int);
  boost::dll::fs::error_code error;
  const boost::dll::shared_library driver("libcuda.so.1", error, boost::dll::load_mode::search_system_folders);
  if (error || !driver.has("cuDeviceGet") || !driver.has("cuDeviceGetName")) return "unknown";
  int device = 0;
  std::array<char, 256> name{};
  if (driver.get<std::remove_pointer_t<Get>>("cuDeviceGet")(&device, index) != 0) return "unknown";
  if (driver.get<std::remove_pointer_t<GetName>>("cuDeviceGetName")(name.data(), name.size() - 1, device) != 0)
    return "unknown";
  return name.data();
}

}  // namespace

at::Device open_device(DeviceKind kind, int place_on_node) {
  if (kind == DeviceKind::cpu) return at::kCPU;
  // cuBLAS adds in a fixed order only with a workspace of a fixed size, which it reads when it is loaded.
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  load_cuda();
  const at::CUDAHooksInterface& hooks = at::detail::getCUDAHooks();
  const int count = hooks.hasCUDA() ? static_cast<int>(hooks.deviceCount()) : 0;
  if (count == 0)
    throw UserError(
        "run.device = \"cuda\", but the driver gives this process no GPU, or is too old for this LibTorch: ask for one "
        "(on a cluster by --gpus), or set run.device = \"cpu\"");
  at::globalContext().lazyInitDevice(at::kCUDA);
  make_deterministic();
  const at::Device device(at::kCUDA, static_cast<c10::DeviceIndex>(place_on_node % count));
  c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(device);
  return device;
}

std::map<std::string, std::string> device_versions(at::Device device) {
  if (device.is_cpu()) return {};
  std::string libraries = at::detail::getCUDAHooks().showConfig();
  for (char& c : libraries)
    if (c == '\n') c = ' ';
  return {{"gpu", name_of_gpu(device.index())}, {"cuda", libraries}};
}

}  // namespace fedmpi
