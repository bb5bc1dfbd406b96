# Writes OUTPUT, a source with a hash of the sources in FILES (separated by '|'): the name of this build of
# the kernel compiler in the key of its disk cache.
string(REPLACE "|" ";" files "${FILES}")
set(all "")
foreach(file IN LISTS files)
  file(SHA256 ${file} hash)
  string(APPEND all ${hash})
endforeach()
string(SHA256 hash "${all}")
file(WRITE ${OUTPUT} "namespace cairn::compiler {\nextern const char kKernelBuild[];\nconst char kKernelBuild[] = \"${hash}\";\n}\n")
