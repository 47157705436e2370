# These headers are parsed once for all folders and once for all tests instead of once per file, which halves the time of a build. Every file
# still includes what it uses: tests/structure/includes.py compiles each without them.
set(MIRILLA_COMMON_HEADERS <algorithm> <functional> <map> <memory> <string> <vector> <fmt/format.h>)

# Precompiles headers for all targets that take them with REUSE_FROM, whose flags must be those of this target.
function(mirilla_precompiled target)
  cmake_parse_arguments(SHARED "" "" "HEADERS;LINKS" ${ARGN})
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${target}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "// CMake wants a source.\n")
  add_library(${target} OBJECT EXCLUDE_FROM_ALL ${source})
  target_link_libraries(${target} PRIVATE ${SHARED_LINKS})
  target_precompile_headers(${target} PRIVATE ${SHARED_HEADERS})
endfunction()

# With MIRILLA_JOIN: several files of TARGET are compiled as one, so that what all of them include is compiled once. Names in their unnamed
# namespaces must differ then; targets where they do not are not joined.
function(mirilla_join target)
  if(MIRILLA_JOIN)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  endif()
endfunction()

# A top-level folder: one static library of every .cpp below it, with the tree's root as include path. It is called mirilla_ and
# the last part of its folder's name.
#
#   mirilla_room(engine JOINED DEPENDS mirilla_kernels PRIVATE some::library EXCLUDE regex)
function(mirilla_room folder)
  cmake_parse_arguments(ROOM "JOINED" "EXCLUDE" "DEPENDS;PRIVATE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
  get_filename_component(name ${folder} NAME)
  if(ROOM_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX ${ROOM_EXCLUDE})
  endif()
  add_library(mirilla_${name} STATIC ${sources})
  target_precompile_headers(mirilla_${name} REUSE_FROM mirilla_common)
  target_link_libraries(mirilla_${name} PUBLIC mirilla_flags fmt::fmt ${ROOM_DEPENDS} PRIVATE ${ROOM_PRIVATE})
  if(ROOM_JOINED)
    mirilla_join(mirilla_${name})
  endif()
endfunction()

# Links the same objects as the program TARGET a second time, with the emulated GPU in place of CUDA's runtime: bin/emulated/TARGET. A
# function of the runtime that kernels/emulate lacks does not link.
function(mirilla_emulated target)
  if(NOT (MIRILLA_CUDA AND MIRILLA_EMULATE) OR NOT TARGET ${target})
    return()
  endif()
  add_executable(emulated_${target} $<TARGET_OBJECTS:${target}>)
  get_target_property(libraries ${target} LINK_LIBRARIES)
  target_link_libraries(emulated_${target} PRIVATE ${libraries})
  set_target_properties(emulated_${target} PROPERTIES OUTPUT_NAME ${target} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin/emulated
    LINKER_LANGUAGE CXX CUDA_RUNTIME_LIBRARY None MIRILLA_EMULATED ON BUILD_RPATH "$ORIGIN/../lib")  # where a pack has the libraries
  if(NOT TARGET emulated)
    add_custom_target(emulated)
  endif()
  add_dependencies(emulated emulated_${target})
endfunction()

# Flags that every target of ours is built with.
add_library(mirilla_flags INTERFACE)
target_include_directories(mirilla_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(mirilla_flags INTERFACE -Wall -Wextra -Wshadow -Wno-missing-field-initializers)
set(MIRILLA_COVERAGE_FLAGS --coverage -fno-inline-small-functions)  # of what is counted
if(MIRILLA_WERROR)
  target_compile_options(mirilla_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror> $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings -Xcompiler=-Werror>)
endif()
if(MIRILLA_SANITIZE)
  # The tests' own code is built with the address sanitizer only, which halves its compile time; the tested code is built with both sanitizers.
  target_compile_options(mirilla_flags INTERFACE -fsanitize=${MIRILLA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    "$<$<BOOL:$<TARGET_PROPERTY:MIRILLA_TEST>>:-fno-sanitize=undefined>")
  target_link_options(mirilla_flags INTERFACE -fsanitize=${MIRILLA_SANITIZE})
endif()

mirilla_precompiled(mirilla_common HEADERS ${MIRILLA_COMMON_HEADERS} LINKS mirilla_flags fmt::fmt)
