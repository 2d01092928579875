#pragma once

#include <cstdint>

#include <torch/version.h>

namespace fedmpi {

// Raised with any change to a header that plugins compile against.
inline constexpr std::uint32_t abi_version = 8;

}  // namespace fedmpi

#define FEDMPI_STRINGIZE_(x) #x
#define FEDMPI_STRINGIZE(x) FEDMPI_STRINGIZE_(x)

#if defined(_LIBCPP_VERSION)
#define FEDMPI_STDLIB "libc++"
#else
#define FEDMPI_STDLIB "libstdc++;cxx11abi=" FEDMPI_STRINGIZE(_GLIBCXX_USE_CXX11_ABI)
#endif

// What must be the same in a plugin and in the program for objects to pass between them.
#define FEDMPI_BUILD_STAMP \
  "torch=" FEDMPI_STRINGIZE(TORCH_VERSION_MAJOR) "." FEDMPI_STRINGIZE(TORCH_VERSION_MINOR) ";stdlib=" FEDMPI_STDLIB
