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
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/plugins")
endfunction()
