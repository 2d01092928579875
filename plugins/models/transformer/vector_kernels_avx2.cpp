#define FEDMPI_LANES 8
#define FEDMPI_TABLE kernels_avx2
#include "vector_kernels.inl"
