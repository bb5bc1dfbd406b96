# cmake --install: bin/cairn, lib/libcairn.so, the headers, a package for find_package(cairn), and
# the text on which `cairn demo` trains when it is not run from a clone.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
# The same in the build tree: what cmake adds there for later has the loader look in the current folder.
set_target_properties(cairn PROPERTIES INSTALL_RPATH "$ORIGIN" BUILD_WITH_INSTALL_RPATH ON)
install(TARGETS cairn EXPORT cairn-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/cairn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h" PATTERN "*.def" PATTERN "compiler/llvm" EXCLUDE)
install(EXPORT cairn-targets NAMESPACE cairn:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/cairn)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/cairn-config.cmake.in
  ${CMAKE_BINARY_DIR}/cairn-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/cairn)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/cairn-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/cairn-config.cmake ${CMAKE_BINARY_DIR}/cairn-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/cairn)
install(SCRIPT ${CMAKE_SOURCE_DIR}/cmake/demo_text.cmake)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
