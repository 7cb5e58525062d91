# For cross builds: the host's header-only dependencies without the rest of its /usr/include, whose C library headers
# must not meet the target's.
set(host_headers ${CMAKE_BINARY_DIR}/host_headers)
file(MAKE_DIRECTORY ${host_headers})
foreach(name xsimd doctest stb CLI)
  if(EXISTS /usr/include/${name} AND NOT EXISTS ${host_headers}/${name})
    file(CREATE_LINK /usr/include/${name} ${host_headers}/${name} SYMBOLIC)
  endif()
endforeach()
foreach(target xsimd doctest::doctest)
  add_library(${target} INTERFACE IMPORTED)
  target_include_directories(${target} INTERFACE ${host_headers})
endforeach()
set(QCNET_STB_INCLUDE_DIR ${host_headers} CACHE PATH "")
