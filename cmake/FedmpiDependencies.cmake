# Everything the program is built on. What is missing is collected, one sentence each, and reported together at the end.
set(FEDMPI_VENV "${PROJECT_SOURCE_DIR}/build/venv" CACHE PATH
  "Virtual environment that cmake/install_dependencies.sh made, with LibTorch and Open MPI")
set(fedmpi_missing "")

function(fedmpi_complain sentence)
  set(fedmpi_missing "${fedmpi_missing}\n  * ${sentence}" PARENT_SCOPE)
endfunction()

# fedmpi_require(NAME what debian-package variable [find_package arguments...])
macro(fedmpi_require name what package variable)
  find_package(${name} ${ARGN} QUIET)
  if(NOT ${name}_FOUND)
    fedmpi_complain("${what} was not found: install ${package}, or set ${variable}.")
  endif()
endmacro()

# The environment's own Open MPI 5 goes before the system's, which in Debian 12 has no fault tolerance.
if(NOT MPI_CXX_COMPILER AND NOT MPI_HOME AND NOT DEFINED ENV{MPI_HOME} AND EXISTS "${FEDMPI_VENV}/bin/mpicxx")
  set(MPI_CXX_COMPILER "${FEDMPI_VENV}/bin/mpicxx" CACHE FILEPATH "MPI compiler wrapper")
  set(MPIEXEC_EXECUTABLE "${FEDMPI_VENV}/bin/mpirun" CACHE FILEPATH "MPI launcher")
endif()
set(MPI_CXX_SKIP_MPICXX ON)
fedmpi_require(MPI "MPI" "libopenmpi-dev" "MPI_HOME or MPI_CXX_COMPILER" COMPONENTS CXX)

find_package(LibTorch)
if(NOT LibTorch_FOUND)
  fedmpi_complain("${LibTorch_PROBLEM}")
endif()

# A parallel HDF5 would bring a second libmpi into the process, often with the same soname as the right one.
set(HDF5_PREFER_PARALLEL OFF)
fedmpi_require(HDF5 "The HDF5 C library" "libhdf5-dev" "HDF5_ROOT" COMPONENTS C)
if(HDF5_FOUND AND HDF5_IS_PARALLEL)
  fedmpi_complain("The HDF5 found (${HDF5_C_INCLUDE_DIRS}) is the parallel build, which brings another MPI library \
with it: install libhdf5-dev, or set HDF5_ROOT to a serial build.")
endif()
# LibTorch's parallel loops are inlined into our code, and run on one thread, in silence, where OpenMP is not switched on.
# At run time the library is LibTorch's own: both are libgomp.so.1.
fedmpi_require(OpenMP "OpenMP" "g++" "OpenMP_CXX_FLAGS" COMPONENTS CXX)
fedmpi_require(fmt "fmt" "libfmt-dev" "fmt_DIR")
fedmpi_require(spdlog "spdlog" "libspdlog-dev" "spdlog_DIR")
fedmpi_require(tomlplusplus "toml++" "libtomlplusplus-dev" "tomlplusplus_DIR")
fedmpi_require(nlohmann_json "nlohmann_json" "nlohmann-json3-dev" "nlohmann_json_DIR")
fedmpi_require(CLI11 "CLI11" "libcli11-dev" "CLI11_DIR")
fedmpi_require(LibArchive "libarchive" "libarchive-dev" "LibArchive_ROOT")
fedmpi_require(ZLIB "zlib" "zlib1g-dev" "ZLIB_ROOT")
fedmpi_require(ICU "ICU" "libicu-dev" "ICU_ROOT" COMPONENTS uc)
fedmpi_require(Boost "Boost 1.74 or newer (headers)" "libboost-dev" "Boost_ROOT" 1.74)
find_path(XXHASH_INCLUDE_DIR xxhash.h)
find_library(XXHASH_LIBRARY xxhash)
if(NOT XXHASH_INCLUDE_DIR OR NOT XXHASH_LIBRARY)
  fedmpi_complain("xxHash was not found: install libxxhash-dev, or set XXHASH_INCLUDE_DIR and XXHASH_LIBRARY.")
endif()
if(FEDMPI_TESTS)
  fedmpi_require(GTest "GoogleTest" "libgtest-dev" "GTest_ROOT or FEDMPI_TESTS=OFF")
endif()

if(fedmpi_missing)
  message(FATAL_ERROR "fedmpi cannot be built yet (on Debian and Ubuntu cmake/install_dependencies.sh installs what "
    "is missing):${fedmpi_missing}")
endif()

# LibTorch's include directory carries another fmt than the one spdlog was built with, and is searched first: a
# directory that holds only the right one goes before it.
get_target_property(fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
if(NOT fmt_include)
  set(fmt_include /usr/include)
endif()
list(GET fmt_include 0 fmt_include)
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/fmt_first")
file(CREATE_LINK "${fmt_include}/fmt" "${CMAKE_BINARY_DIR}/fmt_first/fmt" SYMBOLIC)
add_library(fedmpi_fmt INTERFACE)
target_include_directories(fedmpi_fmt BEFORE INTERFACE "${CMAKE_BINARY_DIR}/fmt_first")
target_link_libraries(fedmpi_fmt INTERFACE fmt::fmt)
