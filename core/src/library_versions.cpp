#include "fedmpi/checkpoint.hpp"

#include <array>

#include <ATen/Version.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <mpi.h>
#include <torch/version.h>

namespace fedmpi {

namespace {

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);  // allowed before MPI_Init
  const std::string version(text.data(), static_cast<std::size_t>(length));
  return version.substr(0, version.find_first_of(",\n"));
}

std::string hdf5_version() {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

// What kernels are chosen by: the vector unit, and the extensions that matrix products use.
std::string instruction_set() {
  std::string text = at::get_cpu_capability();
#if defined(__x86_64__)
  if (__builtin_cpu_supports("fma")) text += " fma";
  if (__builtin_cpu_supports("avx512vnni")) text += " avx512_vnni";
  if (__builtin_cpu_supports("avx512bf16")) text += " avx512_bf16";
  if (__builtin_cpu_supports("amx-bf16")) text += " amx_bf16";
#endif
  return text;
}

}  // namespace

std::map<std::string, std::string> library_versions() {
  return {{"fedmpi", FEDMPI_VERSION}, {"torch", TORCH_VERSION}, {"mpi", mpi_version()},
          {"hdf5", hdf5_version()},   {"compiler", compiler()}, {"instruction_set", instruction_set()}};
}

}  // namespace fedmpi
