# One of the two implements compiler/kernel_compiler.h.
get_target_property(cairn_compiler_sources cairn_compiler SOURCES)
if(CAIRN_HAS_LLVM)
  list(FILTER cairn_compiler_sources EXCLUDE REGEX "/without_llvm\\.cpp$")
else()
  list(FILTER cairn_compiler_sources EXCLUDE REGEX "/llvm/[^/]*\\.cpp$")
endif()
set_target_properties(cairn_compiler PROPERTIES SOURCES "${cairn_compiler_sources}")
