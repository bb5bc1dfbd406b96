# Flags that every target shares.
# -ffp-contract=off: a product and a sum never fuse behind our back; strict numerics depend on it.
# The baseline is x86-64 v1; faster paths are compiled per function file and chosen at run time.
add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -ffp-contract=off)
# Source paths in messages and debug information start at the clone, wherever it lies.
file(RELATIVE_PATH up ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR})
string(REGEX REPLACE "/$" "" up "${up}")
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}/= -ffile-prefix-map=${up}/=)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Warnings that GCC 12 and 13 give wrongly for std::string, std::vector and std::variant.
  add_compile_options(-Wno-maybe-uninitialized -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow)
  if(CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
    add_compile_options(-Wno-dangling-reference)
  endif()
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")
if(CAIRN_SANITIZE)
  set(san ${CAIRN_SANITIZE})
  if(san STREQUAL "address")
    set(san "address,undefined")
  endif()
  add_compile_options(-fsanitize=${san} -fno-omit-frame-pointer -g1 -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${san})
endif()
