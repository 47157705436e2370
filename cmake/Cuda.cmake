# The CUDA compiler, where MIRILLA_CUDA asks for it. The runtime is linked statically, so that a program starts on a machine without CUDA.

set(MIRILLA_CUDA_ARCHITECTURES 90 CACHE STRING "The GPUs to compile for, 90 for compute capability 9.0; newer ones translate the last one's PTX")

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(MIRILLA_NVCC nvcc PATHS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin /opt/cuda/bin)
  mark_as_advanced(MIRILLA_NVCC)
  if(NOT MIRILLA_NVCC)
    message(FATAL_ERROR "MIRILLA_CUDA is ON and nvcc was not found: install the CUDA toolkit, or say where it is with "
                        "-DCMAKE_CUDA_COMPILER=/path/to/nvcc, or build without a GPU: cmake --preset release")
  endif()
  set(CMAKE_CUDA_COMPILER ${MIRILLA_NVCC} CACHE FILEPATH "nvcc")
endif()
if(NOT CMAKE_CUDA_HOST_COMPILER AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER} CACHE FILEPATH "The C++ compiler behind nvcc")
endif()
set(CMAKE_CUDA_ARCHITECTURES ${MIRILLA_CUDA_ARCHITECTURES})
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc has C++20 since CUDA 12
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)
  message(FATAL_ERROR "Mirilla wants CUDA 12 or newer, for C++20, and ${CMAKE_CUDA_COMPILER} is ${CMAKE_CUDA_COMPILER_VERSION}")
endif()
