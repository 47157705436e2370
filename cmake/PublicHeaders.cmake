# Copies the public headers to OUT/mirilla, where an include of another header of ours names it from there: "engine/tensor.h" becomes
# <mirilla/engine/tensor.h>. So a program that uses the library needs one include path and may have an engine/tensor.h of its own.
#
#   cmake -DROOT=tree -DOUT=build/include "-DHEADERS=mirilla.h;engine/tensor.h" -P PublicHeaders.cmake
foreach(header IN LISTS HEADERS)
  file(READ "${ROOT}/${header}" text)
  string(REGEX REPLACE "#include \"([^\"\n]+)\"" "#include <mirilla/\\1>" text "${text}")
  set(old "")
  if(EXISTS "${OUT}/mirilla/${header}")
    file(READ "${OUT}/mirilla/${header}" old)
  endif()
  if(NOT old STREQUAL text)  # what did not change is not built again
    file(WRITE "${OUT}/mirilla/${header}" "${text}")
  endif()
endforeach()
