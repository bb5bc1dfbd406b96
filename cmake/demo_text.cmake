# Runs at install time: the sources and documents as one text, share/cairn/cairn.txt, on which
# `cairn demo` trains where there is no clone around it.
get_filename_component(source ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
set(text $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/share/cairn/cairn.txt)
message(STATUS "Installing: ${text}")
file(GLOB_RECURSE files ${source}/cairn/*.h ${source}/cairn/*.cpp ${source}/docs/*.md)
list(SORT files)
file(WRITE ${text} "")
foreach(file IN LISTS files)
  file(READ ${file} content)
  file(APPEND ${text} "${content}")
endforeach()
