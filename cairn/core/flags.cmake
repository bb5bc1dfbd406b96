# Blocks are taken apart and put together by loops over bytes, which -O2 leaves scalar.
set_source_files_properties(${CMAKE_SOURCE_DIR}/cairn/core/block_format.cpp PROPERTIES
  COMPILE_OPTIONS "$<$<CONFIG:Release>:-O3>")
