# One of the two implements compiler/kernel_compiler.h.
get_target_property(cairn_compiler_sources cairn_compiler SOURCES)
if(CAIRN_HAS_LLVM)
  list(FILTER cairn_compiler_sources EXCLUDE REGEX "/without_llvm\\.cpp$")
else()
  list(FILTER cairn_compiler_sources EXCLUDE REGEX "/llvm/[^/]*\\.cpp$")
endif()
set_target_properties(cairn_compiler PROPERTIES SOURCES "${cairn_compiler_sources}")

# What machine code follows from beside the kernel's text.
file(GLOB_RECURSE cairn_kernel_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cairn/tile/*
     ${CMAKE_SOURCE_DIR}/cairn/compiler/*)
list(APPEND cairn_kernel_sources ${CMAKE_SOURCE_DIR}/cairn/graph/ops.def
     ${CMAKE_SOURCE_DIR}/cairn/graph/attributes.def)
string(REPLACE ";" "|" cairn_kernel_files "${cairn_kernel_sources}")
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/generated/kernel_build.cpp
  COMMAND ${CMAKE_COMMAND} -DOUTPUT=${CMAKE_BINARY_DIR}/generated/kernel_build.cpp
          "-DFILES=${cairn_kernel_files}" -P ${CMAKE_SOURCE_DIR}/cmake/kernel_build.cmake
  DEPENDS ${cairn_kernel_sources} ${CMAKE_SOURCE_DIR}/cmake/kernel_build.cmake VERBATIM)
target_sources(cairn_compiler PRIVATE ${CMAKE_BINARY_DIR}/generated/kernel_build.cpp)
