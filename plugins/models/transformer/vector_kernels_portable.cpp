#define FEDMPI_LANES 4
#define FEDMPI_TABLE kernels_portable
#include "vector_kernels.inl"
