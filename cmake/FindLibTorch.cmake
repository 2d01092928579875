# Defines the imported target LibTorch::torch (CPU part).
execute_process(COMMAND python3 -c "import torch, os; print(os.path.dirname(torch.__file__))"
                OUTPUT_VARIABLE LibTorch_ROOT_GUESS OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h HINTS "${LibTorch_ROOT}/include" "${LibTorch_ROOT_GUESS}/include")
find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS "${LibTorch_ROOT}/lib" "${LibTorch_ROOT_GUESS}/lib")
find_library(LibTorch_C10_LIBRARY c10 HINTS "${LibTorch_ROOT}/lib" "${LibTorch_ROOT_GUESS}/lib")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR)
if(LibTorch_FOUND AND NOT TARGET LibTorch::torch)
  add_library(LibTorch::torch INTERFACE IMPORTED)
  set_target_properties(LibTorch::torch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${LibTorch_INCLUDE_DIR};${LibTorch_INCLUDE_DIR}/torch/csrc/api/include"
    INTERFACE_LINK_LIBRARIES "${LibTorch_CPU_LIBRARY};${LibTorch_C10_LIBRARY}")
endif()
