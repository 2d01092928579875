#define FEDMPI_LANES 16
#define FEDMPI_TABLE kernels_avx512
#include "vector_kernels.inl"
