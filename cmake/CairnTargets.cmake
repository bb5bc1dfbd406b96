# Targets from the folders: a layer per line of layers.txt, one shared library of all of them, and
# one test program per folder of tests/.
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
find_path(XXHASH_INCLUDE xxhash.h REQUIRED)

# LLVM compiles the kernels (cairn/compiler/llvm is the only folder that includes it). Without it, cairn
# computes with the reference backend.
option(CAIRN_LLVM "Compile kernels with LLVM 19" ON)
add_library(cairn_llvm INTERFACE)
set(CAIRN_HAS_LLVM OFF)
if(CAIRN_LLVM)
  find_program(LLVM_CONFIG NAMES llvm-config-19 PATHS /usr/lib/llvm-19/bin)
  if(LLVM_CONFIG)
    set(CAIRN_HAS_LLVM ON)
    execute_process(COMMAND ${LLVM_CONFIG} --includedir OUTPUT_VARIABLE llvm_includes
                    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND ${LLVM_CONFIG} --libdir OUTPUT_VARIABLE llvm_libdir
                    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    target_include_directories(cairn_llvm SYSTEM INTERFACE ${llvm_includes})
    target_link_libraries(cairn_llvm INTERFACE ${llvm_libdir}/libLLVM-19.so)
    # libcairn.so of a release has LLVM inside and hidden: it starts in 10 ms instead of 30 (libLLVM.so
    # has 129 MB to relocate), and runs where LLVM is not installed. It links in 4 s. The tests' programs,
    # a dozen of them, share the dynamic library.
    find_library(CAIRN_ZSTD NAMES zstd libzstd.so.1)
    if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT CAIRN_SANITIZE AND CAIRN_ZSTD)
      execute_process(COMMAND ${LLVM_CONFIG} --link-static --libs x86codegen nvptxcodegen
                              amdgpucodegen runtimedyld scalaropts instcombine executionengine
                      OUTPUT_VARIABLE libraries OUTPUT_STRIP_TRAILING_WHITESPACE
                      COMMAND_ERROR_IS_FATAL ANY)
      string(REPLACE " " ";" libraries "${libraries}")
      set(CAIRN_LLVM_STATIC -L${llvm_libdir} -Wl,--start-group ${libraries} -Wl,--end-group
                            ${CAIRN_ZSTD} ZLIB::ZLIB ${CMAKE_DL_LIBS} -Wl,--exclude-libs,ALL
                            -Wl,--gc-sections)
      # Equal functions folded, relocations packed (DT_RELR, which glibc 2.36 reads), strings' tails
      # shared and calls within the library direct: 5 MB of 55. Where there is no lld, without.
      find_program(CAIRN_LLD ld.lld PATHS ${llvm_libdir}/../bin NO_DEFAULT_PATH)
      if(CAIRN_LLD)
        cmake_path(GET CAIRN_LLD PARENT_PATH lld_folder)
        list(APPEND CAIRN_LLVM_STATIC -fuse-ld=lld -B${lld_folder} -Wl,--icf=all
                                      -Wl,-z,pack-relative-relocs -Wl,-O2 -Wl,-Bsymbolic-functions)
      endif()
    endif()
  else()
    message(STATUS "llvm-config-19 not found: kernels are not compiled, cairn computes with the "
                   "reference backend (install llvm-19-dev)")
  endif()
endif()

set(CAIRN_EXTERNAL fmt::fmt nlohmann_json::nlohmann_json tomlplusplus::tomlplusplus Threads::Threads)

# Reads layers.txt into CAIRN_LAYERS, and LAYER_<name>_DEPS / LAYER_<name>_EXTERNAL.
macro(cairn_read_layers)
  file(STRINGS ${CMAKE_SOURCE_DIR}/cmake/layers.txt lines REGEX "^[a-z]")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/layers.txt)
  set(CAIRN_LAYERS)
  foreach(line IN LISTS lines)
    string(REGEX MATCH "^([a-z]+): *([^|]*)\\|?(.*)$" _ "${line}")
    set(name ${CMAKE_MATCH_1})
    set(deps "${CMAKE_MATCH_2}")
    set(external "${CMAKE_MATCH_3}")
    string(REGEX MATCHALL "[^ ]+" LAYER_${name}_DEPS "${deps}")
    string(REGEX MATCHALL "[^ ]+" LAYER_${name}_EXTERNAL "${external}")
    list(APPEND CAIRN_LAYERS ${name})
  endforeach()
endmacro()

# One text, TEXT.inc, compiled for three levels of x86-64 by STEM_baseline, _avx2 and _avx512.cpp, of
# which the program chooses one when it runs. Paths from the root; FLAGS are for all three.
# -Wno-psabi: vectors are passed between inlined functions only.
function(cairn_compile_for_levels stem text flags)
  foreach(level baseline avx2 avx512)
    set(march)
    if(level STREQUAL "avx2")
      set(march -march=x86-64-v3)
    elseif(level STREQUAL "avx512")
      set(march -march=x86-64-v4)
    endif()
    set_source_files_properties(${CMAKE_SOURCE_DIR}/${stem}_${level}.cpp PROPERTIES
      COMPILE_OPTIONS "${flags};-Wno-psabi;${march}"
      OBJECT_DEPENDS ${CMAKE_SOURCE_DIR}/${text}.inc)
  endforeach()
endfunction()

macro(cairn_add_layers)
  cairn_read_layers()
  set(present)
  foreach(name IN LISTS CAIRN_LAYERS)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cairn/${name}/*.cpp)
    if(NOT sources)
      continue()
    endif()
    list(APPEND present ${name})
    add_library(cairn_${name} STATIC ${sources})
    target_include_directories(cairn_${name} PUBLIC ${CMAKE_SOURCE_DIR} PRIVATE ${XXHASH_INCLUDE})
    target_link_libraries(cairn_${name} PUBLIC ${CAIRN_EXTERNAL} ${LAYER_${name}_EXTERNAL})
    foreach(dep IN LISTS LAYER_${name}_DEPS)
      if(TARGET cairn_${dep})
        target_link_libraries(cairn_${name} PUBLIC cairn_${dep})
      endif()
    endforeach()
    if(EXISTS ${CMAKE_SOURCE_DIR}/cairn/${name}/flags.cmake)
      include(${CMAKE_SOURCE_DIR}/cairn/${name}/flags.cmake)
    endif()
  endforeach()
  set(CAIRN_PRESENT ${present})
endmacro()

function(cairn_add_shared_library)
  add_library(cairn SHARED)
  add_library(cairn::cairn ALIAS cairn)
  foreach(name IN LISTS CAIRN_PRESENT)
    target_sources(cairn PRIVATE $<TARGET_OBJECTS:cairn_${name}>)
    set(external ${LAYER_${name}_EXTERNAL})
    if(CAIRN_LLVM_STATIC)
      list(TRANSFORM external REPLACE "^cairn_llvm$" "${CAIRN_LLVM_STATIC}")
    endif()
    target_link_libraries(cairn PRIVATE ${external})
  endforeach()
  target_link_libraries(cairn PRIVATE ${CAIRN_EXTERNAL})
  target_include_directories(cairn PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>
                                          $<INSTALL_INTERFACE:include>)
  target_compile_features(cairn PUBLIC cxx_std_20)
  target_link_libraries(cairn PUBLIC Threads::Threads)
  set_target_properties(cairn PROPERTIES LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION} SOVERSION 0)
  target_link_options(cairn PRIVATE -Wl,--as-needed)
  if(NOT CAIRN_SANITIZE)  # Clang leaves the sanitizer's functions to the program
    target_link_options(cairn PRIVATE -Wl,--no-undefined)
  endif()
endfunction()

# One program of all tests/<folder>/*.cpp, linked with the layers it names. TIMEOUT is in seconds,
# where tools/run_tests.py's 15 minutes are not enough; LABELS are those that it knows.
function(cairn_add_tests folder)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LAYERS;LIBRARIES;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${folder}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${folder} ${sources})
  target_include_directories(test_${folder} PRIVATE ${CMAKE_SOURCE_DIR})
  foreach(layer IN LISTS ARG_LAYERS)
    if(TARGET cairn_${layer})
      target_link_libraries(test_${folder} PRIVATE cairn_${layer})
    endif()
  endforeach()
  target_link_libraries(test_${folder} PRIVATE ${ARG_LIBRARIES} GTest::gtest_main GTest::gmock)
  target_compile_definitions(test_${folder} PRIVATE CAIRN_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  # The tests' own code need not be fast: -O1 compiles it in 70 % of the time of -O2.
  target_compile_options(test_${folder} PRIVATE $<$<CONFIG:Release>:-O1>)
  add_test(NAME ${folder} COMMAND test_${folder})
  foreach(property IN ITEMS TIMEOUT LABELS)
    if(ARG_${property})
      set_tests_properties(${folder} PROPERTIES ${property} "${ARG_${property}}")
    endif()
  endforeach()
endfunction()
