# Writes the text of several test files into one C++ file, each in a namespace of its own, so that their helpers may have the same names:
#
#   cmake -DOUT=joined.cpp "-DFILES=a_test.cpp;b_test.cpp" -P JoinTests.cmake
set(joined "// Made by cmake/JoinTests.cmake.\n")
set(number 0)
foreach(file IN LISTS FILES)
  file(READ "${file}" text)
  math(EXPR number "${number} + 1")
  string(REGEX REPLACE "\nnamespace (mirilla[a-z_:]*) {\n" "\nnamespace \\1::joined_${number} {\n" own "${text}")
  if(own STREQUAL text)
    message(FATAL_ERROR "${file}: a line 'namespace mirilla... {' around all of its tests was expected; write one")
  endif()
  string(APPEND joined "#line 1 \"${file}\"\n${own}")
endforeach()
file(WRITE "${OUT}" "${joined}")
