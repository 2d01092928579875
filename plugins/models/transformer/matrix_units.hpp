#pragma once

#include "vector_kernels.hpp"

namespace fedmpi {

// Whether this processor has AMX with bfloat16 and the system lets this process use it.
bool has_matrix_units();

// Kernels<Bf16>::product by AMX, and by kernels_avx512 what no tile covers.
void product_by_matrix_units(std::int64_t m, std::int64_t n, std::int64_t k, const Bf16* left, std::int64_t left_stride,
                             const Bf16* panels, float* out, std::int64_t out_stride, bool add);

}  // namespace fedmpi
