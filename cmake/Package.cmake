# The installed library: libmirilla, its headers and its CMake and pkg-config files. find_package(Mirilla) or pkg-config finds an
# installed copy; a project that includes the sources (add_subdirectory, FetchContent) links Mirilla::mirilla.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Every header of the folders except those of one device, and mirilla.h, which includes what a program usually needs.
file(GLOB_RECURSE public_headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} engine/*.h data/*.h weights/*.h nn/*.h kernels/core/*.h
  kernels/host/*.h kernels/plans/*.h)
list(APPEND public_headers mirilla.h kernels/devices.h)
set(public_include ${PROJECT_BINARY_DIR}/include)
list(TRANSFORM public_headers PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE public_header_files)
add_custom_command(OUTPUT ${public_include}/made VERBATIM DEPENDS ${public_header_files} ${PROJECT_SOURCE_DIR}/cmake/PublicHeaders.cmake
  COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -DOUT=${public_include} "-DHEADERS=${public_headers}" -P ${PROJECT_SOURCE_DIR}/cmake/PublicHeaders.cmake
  COMMAND ${CMAKE_COMMAND} -E touch ${public_include}/made)
add_custom_target(mirilla_headers ALL DEPENDS ${public_include}/made)
configure_file(${PROJECT_SOURCE_DIR}/cmake/version.h.in ${public_include}/mirilla/version.h @ONLY)

# One shared library of all folders: a program that links it needs none of the libraries it is made with, only {fmt} for its headers.
set(rooms mirilla_kernels mirilla_engine mirilla_data mirilla_weights mirilla_nn)
set(objects)
foreach(room IN LISTS rooms)
  list(APPEND objects $<TARGET_OBJECTS:${room}>)
endforeach()
if(MIRILLA_CUDA)
  list(APPEND objects $<TARGET_OBJECTS:mirilla_cuda> $<TARGET_OBJECTS:mirilla_vendor>)
endif()
add_library(mirilla_library SHARED ${objects})
add_dependencies(mirilla_library mirilla_headers)
add_library(Mirilla::mirilla ALIAS mirilla_library)
set_target_properties(mirilla_library PROPERTIES OUTPUT_NAME mirilla EXPORT_NAME mirilla LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR} INSTALL_RPATH "$ORIGIN/mirilla")
target_compile_features(mirilla_library INTERFACE cxx_std_20)
target_include_directories(mirilla_library INTERFACE $<BUILD_INTERFACE:${public_include}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(mirilla_library PUBLIC fmt::fmt PRIVATE OpenMP::OpenMP_CXX Boost::context JPEG::JPEG mirilla_libzip Threads::Threads
  ZLIB::ZLIB $<$<BOOL:${MIRILLA_WEBP}>:mirilla_webp>)
if(MIRILLA_ONEDNN)
  target_link_libraries(mirilla_library PRIVATE mirilla_onednn)
endif()
if(MIRILLA_CUDA)
  target_link_libraries(mirilla_library PRIVATE CUDA::cudart_static ${CMAKE_DL_LIBS})
endif()

install(TARGETS mirilla_library EXPORT MirillaTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS mirilla RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
set_target_properties(mirilla PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}/mirilla")
install(DIRECTORY ${public_include}/mirilla DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(MIRILLA_ONEDNN AND ONEDNN_LIBRARY MATCHES "^${PROJECT_SOURCE_DIR}/")  # not the system's: install it too
  get_filename_component(onednn_file ${ONEDNN_LIBRARY} REALPATH)
  install(FILES ${onednn_file} DESTINATION ${CMAKE_INSTALL_LIBDIR}/mirilla RENAME libdnnl.so.3)
endif()

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Mirilla)
install(EXPORT MirillaTargets NAMESPACE Mirilla:: DESTINATION ${package_folder})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/MirillaConfig.cmake.in ${PROJECT_BINARY_DIR}/MirillaConfig.cmake
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/MirillaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
configure_file(${PROJECT_SOURCE_DIR}/cmake/mirilla.pc.in ${PROJECT_BINARY_DIR}/mirilla.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/MirillaConfig.cmake ${PROJECT_BINARY_DIR}/MirillaConfigVersion.cmake DESTINATION ${package_folder})
install(FILES ${PROJECT_BINARY_DIR}/mirilla.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
