// The kernels, for the instruction set whose flags this is compiled with. The including file defines FEDMPI_LANES
// and FEDMPI_TABLE, the name of the table to define. Everything else is in an anonymous namespace and no standard
// function is called: an inline function that the linker merges across instruction sets would be a trap.
#include "vector_kernels.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace fedmpi {
namespace {

// In this order: each uses what is before it.
// clang-format off
#include "vector_math.inl"
#include "vector_rows.inl"
#include "vector_attention.inl"
// clang-format on

template <class T>
constexpr Kernels<T> table{
    &from_float<T>,         &add_to_float<T>, &norm_forward<T>,     &norm_backward<T>,    &gelu_forward<T>,
    &gelu_backward<T>,      &dropout_mask,    &column_sums<T>,      &pack_left<T>,        &transpose<T>,
    &transpose_panelled<T>, &make_panel,      &softmax_forward<T>,  &softmax_backward<T>, &row_products<T>,
    &store_rows<T>,         &stream_rows<T>,  &store_transposed<T>, &product<T>,          most_product_rows,
};

}  // namespace

extern const KernelTables FEDMPI_TABLE{table<float>, table<Bf16>, &numbers_of_row};

}  // namespace fedmpi
