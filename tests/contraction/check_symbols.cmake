# Fails if an object of contraction_{avx2,avx512}.cpp defines a weak symbol. cmake -DNM= -DOBJECTS= -P
set(checked 0)
foreach(object IN LISTS OBJECTS)
  if(object MATCHES "contraction_(avx2|avx512)\\.cpp")
    execute_process(COMMAND ${NM} -C --defined-only ${object} OUTPUT_VARIABLE symbols
                    COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX MATCHALL "[^\n]* [WVuw] [^\n]*" shared "${symbols}")
    list(FILTER shared EXCLUDE REGEX "DW\\.ref\\.")  # data, of builds with sanitizers
    if(shared)
      message(FATAL_ERROR "${object} defines symbols that the linker may share:\n${shared}")
    endif()
    math(EXPR checked "${checked} + 1")
  endif()
endforeach()
if(NOT checked EQUAL 2)
  message(FATAL_ERROR "expected two objects, found ${checked} in ${OBJECTS}")
endif()
