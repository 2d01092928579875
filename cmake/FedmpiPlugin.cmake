# fedmpi_add_plugin, for the plugins in this tree and for everybody else's: find_package(fedmpi) includes this file.

# CMAKE_INSTALL_RPATH_USE_LINK_PATH leaves out directories inside the source tree, where build/venv is.
set(fedmpi_library_dirs)
foreach(library IN LISTS LibTorch_LIBRARIES MPI_CXX_LIBRARIES)
  get_filename_component(directory "${library}" DIRECTORY)
  list(APPEND fedmpi_library_dirs "${directory}")
endforeach()
list(REMOVE_DUPLICATES fedmpi_library_dirs)
list(REMOVE_ITEM fedmpi_library_dirs "" ${CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES})

# fedmpi_add_plugin(name sources...): <name>.so with one exported symbol, in plugins/ of the build tree; `cmake --install`
# puts it where the program of the same prefix finds it.
function(fedmpi_add_plugin name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE fedmpi::core)
  # Inline functions and containers of LibTorch's types are visible whatever the compiler is told.
  set(exports "${CMAKE_CURRENT_BINARY_DIR}/fedmpi_plugin.map")
  file(CONFIGURE OUTPUT "${exports}" CONTENT "{ global: fedmpi_plugin; local: *; };\n")
  target_link_options(${name} PRIVATE -Wl,--no-undefined -Wl,-z,now -Wl,-z,nodelete "-Wl,--version-script=${exports}")
  set_target_properties(${name} PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/plugins"
    INSTALL_RPATH "$ORIGIN/../..;${fedmpi_library_dirs}")
  install(TARGETS ${name} LIBRARY DESTINATION lib/fedmpi/plugins)
endfunction()
