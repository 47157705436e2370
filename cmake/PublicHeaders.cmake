# Copies the public headers to OUT/mirilla and changes their includes of our other headers: "engine/tensor.h" becomes
# <mirilla/engine/tensor.h>. So a program that uses the library needs one include path and may have its own engine/tensor.h.
#
#   cmake -DROOT=tree -DOUT=build/include "-DHEADERS=mirilla.h;engine/tensor.h" -P PublicHeaders.cmake
foreach(header IN LISTS HEADERS)
  file(READ "${ROOT}/${header}" text)
  string(REGEX REPLACE "#include \"([^\"\n]+)\"" "#include <mirilla/\\1>" text "${text}")
  set(old "")
  if(EXISTS "${OUT}/mirilla/${header}")
    file(READ "${OUT}/mirilla/${header}" old)
  endif()
  if(NOT old STREQUAL text)  # unchanged headers cause no rebuild
    file(WRITE "${OUT}/mirilla/${header}" "${text}")
  endif()
endforeach()
