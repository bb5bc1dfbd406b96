# The reference backend's loops are written so that the compiler can make SIMD code of them, which GCC
# does at -O3 and where comparisons need not trap (no effect on any value).
file(GLOB cairn_ref_sources ${CMAKE_SOURCE_DIR}/cairn/runtime/ref/*.cpp)
set_source_files_properties(${cairn_ref_sources} PROPERTIES
  COMPILE_OPTIONS "$<$<NOT:$<CONFIG:Debug>>:-O3>;-fno-trapping-math")

# Products and convolutions: one text compiled for three levels of x86-64 and chosen at run time, with the
# same bits (contraction.h). Optimized in Debug too: a test of training is bearable only so.
# -Wno-psabi: vectors are passed between inlined functions only.
foreach(target baseline avx2 avx512)
  set(march)
  if(target STREQUAL "avx2")
    set(march -march=x86-64-v3)
  elseif(target STREQUAL "avx512")
    set(march -march=x86-64-v4)
  endif()
  set_source_files_properties(${CMAKE_SOURCE_DIR}/cairn/runtime/ref/contraction_${target}.cpp PROPERTIES
    COMPILE_OPTIONS "-O3;-fno-trapping-math;-Wno-psabi;${march}"
    OBJECT_DEPENDS ${CMAKE_SOURCE_DIR}/cairn/runtime/ref/contraction_kernels.inc)
endforeach()
