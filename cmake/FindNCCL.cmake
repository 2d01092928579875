# Defines NCCL::nccl, NCCL with the CUDA runtime it is called with. Both come with a CUDA build of LibTorch from a wheel, as
# packages of a Python environment, or from NVIDIA's own; NCCL_ROOT and CUDA_HOME (variables or environment) go first.
# Result: NCCL_FOUND, NCCL_LIBRARY_DIRS.
set(_nccl_prefixes ${NCCL_ROOT} $ENV{NCCL_ROOT} $ENV{NCCL_HOME})
set(_cuda_prefixes ${CUDA_HOME} $ENV{CUDA_HOME})
# The CUDA runtime that LibTorch itself uses goes before any other: a process should have one.
foreach(_nccl_packages "${LibTorch_PREFIX}/../nvidia" "${FEDMPI_VENV}/lib/python3*/site-packages/nvidia")
  file(GLOB _nccl_found "${_nccl_packages}/nccl")
  file(GLOB _cuda_found "${_nccl_packages}/cu[0-9]*" "${_nccl_packages}/cuda_runtime")
  list(APPEND _nccl_prefixes ${_nccl_found})
  list(APPEND _cuda_prefixes ${_cuda_found})
endforeach()
list(APPEND _cuda_prefixes /usr/local/cuda)

find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${_nccl_prefixes} ${_cuda_prefixes} PATH_SUFFIXES include)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${_nccl_prefixes} ${_cuda_prefixes} PATH_SUFFIXES lib lib64)
# The headers include one another, and come in packages of their own, not all of which LibTorch brings: the last one tells.
find_path(NCCL_CUDA_INCLUDE_DIR nv/target HINTS ${_cuda_prefixes} PATH_SUFFIXES include)
find_library(NCCL_CUDA_LIBRARY NAMES cudart libcudart.so.13 libcudart.so.12 HINTS ${_cuda_prefixes} PATH_SUFFIXES lib lib64)
mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY NCCL_CUDA_INCLUDE_DIR NCCL_CUDA_LIBRARY)

include(FindPackageHandleStandardArgs)
if(NCCL_CUDA_INCLUDE_DIR AND NOT (EXISTS "${NCCL_CUDA_INCLUDE_DIR}/cuda_runtime_api.h" AND
                                  EXISTS "${NCCL_CUDA_INCLUDE_DIR}/crt/host_defines.h"))
  set(NCCL_CUDA_INCLUDE_DIR NCCL_CUDA_INCLUDE_DIR-NOTFOUND)
endif()
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR NCCL_CUDA_LIBRARY NCCL_CUDA_INCLUDE_DIR)
if(NCCL_FOUND AND NOT TARGET NCCL::nccl)
  add_library(NCCL::nccl INTERFACE IMPORTED)
  target_include_directories(NCCL::nccl SYSTEM INTERFACE "${NCCL_INCLUDE_DIR}" "${NCCL_CUDA_INCLUDE_DIR}")
  target_link_libraries(NCCL::nccl INTERFACE "${NCCL_LIBRARY}" "${NCCL_CUDA_LIBRARY}")
  get_filename_component(_nccl_dir "${NCCL_LIBRARY}" DIRECTORY)
  get_filename_component(_cuda_dir "${NCCL_CUDA_LIBRARY}" DIRECTORY)
  set(NCCL_LIBRARY_DIRS "${_nccl_dir}" "${_cuda_dir}")
endif()
