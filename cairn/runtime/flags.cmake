# The reference backend's loops are written so that the compiler can make SIMD code of them, which GCC
# does at -O3 and where comparisons need not trap (no effect on any value).
file(GLOB cairn_ref_sources ${CMAKE_SOURCE_DIR}/cairn/runtime/ref/*.cpp)
set_source_files_properties(${cairn_ref_sources} PROPERTIES
  COMPILE_OPTIONS "$<$<NOT:$<CONFIG:Debug>>:-O3>;-fno-trapping-math")

# Products and convolutions: the same bits on every level (contraction.h). Optimized in Debug too: a test
# of training is bearable only so.
cairn_compile_for_levels(cairn/runtime/ref/contraction cairn/runtime/ref/contraction_kernels
  "-O3;-fno-trapping-math")
