#include "kernel_choice.hpp"

#if defined(__x86_64__)
#include "matrix_units.hpp"
#endif

namespace fedmpi {
namespace {

#if defined(__x86_64__)
const KernelTables& kernels_amx() {
  static const KernelTables tables = [] {
    KernelTables made = kernels_avx512;
    made.bf16.product = &product_by_matrix_units;
    made.bf16.product_rows = 32;
    return made;
  }();
  return tables;
}
#endif

}  // namespace

std::vector<NamedKernels> runnable_kernels() {
  std::vector<NamedKernels> found;
#if defined(__x86_64__)
  const bool avx512 = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                      __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
                      __builtin_cpu_supports("avx512bf16") != 0;
  if (avx512 && has_matrix_units()) found.push_back({"amx", &kernels_amx()});
  if (avx512) found.push_back({"avx512", &kernels_avx512});
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) {
    found.push_back({"avx2", &kernels_avx2});
  }
#endif
  found.push_back({"portable", &kernels_portable});
  return found;
}

namespace {
const KernelTables& best() {
  static const KernelTables* const tables = runnable_kernels().front().tables;
  return *tables;
}
}  // namespace

template <>
const Kernels<float>& kernels<float>() {
  return best().float32;
}

template <>
const Kernels<Bf16>& kernels<Bf16>() {
  return best().bf16;
}

}  // namespace fedmpi
