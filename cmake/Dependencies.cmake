# What Mirilla takes from others. System packages, except oneDNN 3.x where the system has none: then the PyPI wheels that tools/setup
# unpacked into .deps/onednn.

find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(JPEG REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)

# libzip's own CMake file wants the command-line tools installed beside the library; the library and its header are all we use.
find_path(LIBZIP_INCLUDE_DIR zip.h REQUIRED)
find_library(LIBZIP_LIBRARY zip REQUIRED)
add_library(mirilla_libzip INTERFACE)
target_include_directories(mirilla_libzip SYSTEM INTERFACE ${LIBZIP_INCLUDE_DIR})
target_link_libraries(mirilla_libzip INTERFACE ${LIBZIP_LIBRARY})

find_path(STB_INCLUDE_DIR stb_image.h PATH_SUFFIXES stb REQUIRED)
add_library(mirilla_stb INTERFACE)
target_include_directories(mirilla_stb SYSTEM INTERFACE ${STB_INCLUDE_DIR})

find_package(dnnl 3 QUIET CONFIG)
if(dnnl_FOUND)
  set(MIRILLA_ONEDNN ON)
  add_library(mirilla_onednn INTERFACE)
  target_link_libraries(mirilla_onednn INTERFACE DNNL::dnnl)
else()
  find_path(ONEDNN_INCLUDE_DIR oneapi/dnnl/dnnl.hpp PATHS ${CMAKE_SOURCE_DIR}/.deps/onednn/include NO_DEFAULT_PATH)
  find_library(ONEDNN_LIBRARY NAMES dnnl libdnnl.so.3 PATHS ${CMAKE_SOURCE_DIR}/.deps/onednn/lib NO_DEFAULT_PATH)
  if(ONEDNN_INCLUDE_DIR AND ONEDNN_LIBRARY)
    set(MIRILLA_ONEDNN ON)
    add_library(mirilla_onednn INTERFACE)
    target_include_directories(mirilla_onednn SYSTEM INTERFACE ${ONEDNN_INCLUDE_DIR})
    target_link_libraries(mirilla_onednn INTERFACE ${ONEDNN_LIBRARY})
  else()
    set(MIRILLA_ONEDNN OFF)
    message(WARNING "oneDNN 3 was not found: convolutions on the host will run on plain loops, many times slower. tools/setup installs it.")
  endif()
endif()
