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
# A product that is added is rounded alike on every kind of processor.
add_compile_options(-ffp-contract=off)

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

# Warnings for our own targets. What GCC 12 says of std::string's own bytes after inlining is wrong (its bugs 105329 and
# 105651) and depends on the machine's inlining: shown, never an error.
function(fedmpi_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast
    -Woverloaded-virtual -Wimplicit-fallthrough -Wno-missing-field-initializers $<$<BOOL:${FEDMPI_WERROR}>:-Werror>)
  get_target_property(unity ${target} UNITY_BUILD)
  if(unity)  # files are apart everywhere else
    target_compile_options(${target} PRIVATE -Wno-shadow $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage>)
  endif()
  if(FEDMPI_WERROR AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-error=array-bounds -Wno-error=restrict -Wno-error=stringop-overflow)
  endif()
endfunction()

# The program finds its plugins in ../lib/fedmpi/plugins and its templates in ../share/fedmpi/templates, so these
# directories are fixed.
function(fedmpi_install)
  set_target_properties(fedmpi_program PROPERTIES EXPORT_NAME program
    INSTALL_RPATH "$ORIGIN/../lib;${fedmpi_library_dirs}")
  set_target_properties(fedmpi_core PROPERTIES EXPORT_NAME core INSTALL_RPATH "${fedmpi_library_dirs}")
  install(TARGETS fedmpi_program EXPORT fedmpi RUNTIME DESTINATION bin)
  install(TARGETS fedmpi_core EXPORT fedmpi LIBRARY DESTINATION lib)
  install(DIRECTORY core/include/fedmpi DESTINATION include)

  set(package "${CMAKE_BINARY_DIR}/package")
  configure_file(cmake/fedmpiConfig.cmake.in "${package}/fedmpiConfig.cmake" @ONLY)
  write_basic_package_version_file("${package}/fedmpiConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
  install(EXPORT fedmpi NAMESPACE fedmpi:: FILE fedmpiTargets.cmake DESTINATION lib/cmake/fedmpi)
  install(FILES "${package}/fedmpiConfig.cmake" "${package}/fedmpiConfigVersion.cmake" cmake/FedmpiPlugin.cmake
    cmake/FindLibTorch.cmake DESTINATION lib/cmake/fedmpi)

  file(GLOB kinds "${PROJECT_SOURCE_DIR}/plugins/example/*")
  foreach(kind IN LISTS kinds)
    # Files alone: a directory is what somebody built there.
    file(GLOB files LIST_DIRECTORIES false "${kind}/*")
    get_filename_component(name "${kind}" NAME)
    install(FILES ${files} DESTINATION share/fedmpi/templates/${name})
  endforeach()
  # The program writes its own manual.
  install(CODE [[
    foreach(form "page;share/man/man1;fedmpi.1" "completion;share/bash-completion/completions;fedmpi")
      list(GET form 0 verb)
      list(GET form 1 directory)
      list(GET form 2 name)
      set(directory "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/${directory}")
      file(MAKE_DIRECTORY "${directory}")
      message(STATUS "Installing: ${directory}/${name}")
      execute_process(COMMAND "$<TARGET_FILE:fedmpi_program>" manual ${verb} OUTPUT_FILE "${directory}/${name}"
        COMMAND_ERROR_IS_FATAL ANY)
    endforeach()]])

  file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/share/fedmpi")
  file(CREATE_LINK "${PROJECT_SOURCE_DIR}/plugins/example" "${CMAKE_BINARY_DIR}/share/fedmpi/templates" SYMBOLIC)
endfunction()
