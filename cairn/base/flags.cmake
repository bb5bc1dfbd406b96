# The loops that measure peaks: one text compiled for three levels of x86-64 and chosen at run time.
# Contraction is on here and nowhere else: the peak of a processor is that of its multiply-add.
foreach(target baseline avx2 avx512)
  set(march)
  if(target STREQUAL "avx2")
    set(march -march=x86-64-v3)
  elseif(target STREQUAL "avx512")
    set(march -march=x86-64-v4)
  endif()
  set_source_files_properties(${CMAKE_SOURCE_DIR}/cairn/base/probe_${target}.cpp PROPERTIES
    COMPILE_OPTIONS "-O3;-ffp-contract=fast;-Wno-psabi;${march}"
    OBJECT_DEPENDS ${CMAKE_SOURCE_DIR}/cairn/base/probe_kernels.inc)
endforeach()
