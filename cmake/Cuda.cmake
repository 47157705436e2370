# The CUDA compiler, if MIRILLA_CUDA asks for it. The runtime is linked statically, so that a program starts on a machine without CUDA.

set(MIRILLA_CUDA_ARCHITECTURES 90 CACHE STRING "The GPUs to compile for, 90 for compute capability 9.0; newer ones translate the last one's PTX")

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(MIRILLA_NVCC nvcc PATHS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin /opt/cuda/bin
               ${PROJECT_SOURCE_DIR}/.deps/cuda_toolkit/bin)
  mark_as_advanced(MIRILLA_NVCC)
  if(NOT MIRILLA_NVCC)
    message(FATAL_ERROR "MIRILLA_CUDA is ON and nvcc was not found: tools/setup cuda fetches it, or say where it is with "
                        "-DCMAKE_CUDA_COMPILER=/path/to/nvcc, or build without a GPU: cmake --preset release")
  endif()
  set(CMAKE_CUDA_COMPILER ${MIRILLA_NVCC} CACHE FILEPATH "nvcc")
endif()
if(NOT CMAKE_CUDA_HOST_COMPILER AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER} CACHE FILEPATH "The C++ compiler behind nvcc")
endif()
set(CMAKE_CUDA_ARCHITECTURES ${MIRILLA_CUDA_ARCHITECTURES})
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
option(MIRILLA_CUDA_COMPRESS "Compress the kernels; the emulated GPU wants them as they are" ON)
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc has C++20 since CUDA 12
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)
  message(FATAL_ERROR "Mirilla needs CUDA 12 or newer, for C++20, but ${CMAKE_CUDA_COMPILER} is ${CMAKE_CUDA_COMPILER_VERSION}")
endif()

# cuDNN and cuBLASLt: only their headers, and cudnn-frontend's, are needed here; a program opens the libraries when it first uses them. They
# come with the toolkit or the system, else from the PyPI wheels that tools/setup unpacked into .deps.
find_package(CUDAToolkit REQUIRED)
set(MIRILLA_CUDNN_MODE auto CACHE STRING "cuDNN: auto (where its headers and cudnn-frontend's are found) or off")
set(MIRILLA_CUBLASLT_MODE auto CACHE STRING "cuBLASLt: auto (where its header is found) or off")
set(library_places HINTS ${CUDAToolkit_INCLUDE_DIRS} PATHS ${PROJECT_SOURCE_DIR}/.deps/cuda/include)
find_path(CUBLASLT_INCLUDE_DIR cublasLt.h ${library_places})
find_path(CUDNN_INCLUDE_DIR cudnn_graph.h ${library_places})
find_path(CUDNN_FRONTEND_INCLUDE_DIR cudnn_frontend.h ${library_places} ${PROJECT_SOURCE_DIR}/.deps/cudnn_frontend/include)

function(mirilla_library name mode)  # name, mode, requirements: sets MIRILLA_<name>
  string(TOUPPER ${name} upper)
  set(found ON)
  foreach(wanted IN LISTS ARGN)
    if(NOT ${wanted})
      set(found OFF)
    endif()
  endforeach()
  if(NOT mode STREQUAL "auto")
    set(found OFF)
    message(STATUS "${name} is off: Mirilla uses its own kernels")
  elseif(NOT found)
    message(WARNING "${name}'s headers were not found: Mirilla uses its own kernels, many times slower. tools/setup cuda fetches them.")
  endif()
  set(MIRILLA_${upper} ${found} PARENT_SCOPE)
endfunction()
mirilla_library(cuDNN "${MIRILLA_CUDNN_MODE}" CUDNN_INCLUDE_DIR CUDNN_FRONTEND_INCLUDE_DIR)
mirilla_library(cuBLASLt "${MIRILLA_CUBLASLT_MODE}" CUBLASLT_INCLUDE_DIR)
# The stand-ins of the emulated GPU. cuDNN's has functions of CUDA's runtime that are declared otherwise before CUDA 13.
set(MIRILLA_EMULATED_CUBLASLT ${MIRILLA_CUBLASLT})
set(MIRILLA_EMULATED_CUDNN ${MIRILLA_CUDNN})
if(CUDAToolkit_VERSION VERSION_LESS 13.0)
  set(MIRILLA_EMULATED_CUDNN OFF)
endif()
