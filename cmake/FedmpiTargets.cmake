# ccache, when there is one. Precompiled headers need the sloppiness to be cached.
find_program(FEDMPI_CCACHE ccache)
mark_as_advanced(FEDMPI_CCACHE)
foreach(language C CXX)
  if(FEDMPI_CCACHE AND NOT DEFINED CMAKE_${language}_COMPILER_LAUNCHER)
    set(CMAKE_${language}_COMPILER_LAUNCHER
      "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros "${FEDMPI_CCACHE}")
  endif()
endforeach()
add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess>)

if(FEDMPI_SANITIZE)
  # vptr checks need the type information of LibTorch's classes, which its libraries do not all export.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
  # GCC's analysis of what is uninitialised is wrong about the library's own headers once they are instrumented.
  add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)
endif()
if(FEDMPI_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# CMAKE_INSTALL_RPATH_USE_LINK_PATH leaves out directories inside the source tree, where build/venv is.
set(fedmpi_library_dirs)
foreach(library IN LISTS LibTorch_LIBRARIES MPI_CXX_LIBRARIES)
  get_filename_component(directory "${library}" DIRECTORY)
  list(APPEND fedmpi_library_dirs "${directory}")
endforeach()
list(REMOVE_DUPLICATES fedmpi_library_dirs)
list(REMOVE_ITEM fedmpi_library_dirs "" ${CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES})

# Warnings for our own targets.
function(fedmpi_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast
    -Woverloaded-virtual -Wimplicit-fallthrough -Wno-missing-field-initializers $<$<BOOL:${FEDMPI_WERROR}>:-Werror>)
endfunction()

# fedmpi_add_plugin(name sources...): <name>.so with one exported symbol, in the program's plugin directory.
function(fedmpi_add_plugin name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE fedmpi::core)
  target_link_options(${name} PRIVATE -Wl,--no-undefined -Wl,-z,now -Wl,-z,nodelete)
  set_target_properties(${name} PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/plugins"
    INSTALL_RPATH "$ORIGIN/../..;${fedmpi_library_dirs}")
  install(TARGETS ${name} LIBRARY DESTINATION lib/fedmpi/plugins)
endfunction()

# The program finds its plugins in ../lib/fedmpi/plugins, so these directories are fixed.
function(fedmpi_install)
  set_target_properties(fedmpi_program PROPERTIES INSTALL_RPATH "$ORIGIN/../lib;${fedmpi_library_dirs}")
  set_target_properties(fedmpi_core PROPERTIES INSTALL_RPATH "${fedmpi_library_dirs}")
  install(TARGETS fedmpi_program RUNTIME DESTINATION bin)
  install(TARGETS fedmpi_core LIBRARY DESTINATION lib)
  install(DIRECTORY core/include/fedmpi DESTINATION include)
endfunction()
