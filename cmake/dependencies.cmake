# Each dependency comes from the system (Debian 12: libxsimd-dev doctest-dev libbenchmark-dev libstb-dev libcli11-dev
# libpugixml-dev) or, where that is missing, from a pinned download.
include(FetchContent)

macro(qcnet_fetch name repository tag)
  message(STATUS "${name} was not found on the system: fetching ${repository} ${tag}")
  FetchContent_Declare(${name} GIT_REPOSITORY ${repository} GIT_TAG ${tag} GIT_SHALLOW TRUE)
  FetchContent_MakeAvailable(${name})
endmacro()

# No version is asked for: 8.1 would refuse a request for 14 and the other way round; both work.
if(NOT TARGET xsimd)
  find_package(xsimd CONFIG QUIET)
  if(NOT xsimd_FOUND)
    qcnet_fetch(xsimd https://github.com/xtensor-stack/xsimd 14.0.0)
  elseif(xsimd_VERSION VERSION_LESS 8.1)
    message(FATAL_ERROR "xsimd ${xsimd_VERSION} in ${xsimd_DIR} is too old, 8.1 to 14 are needed: point xsimd_DIR at a newer one, "
      "or set CMAKE_DISABLE_FIND_PACKAGE_xsimd=ON to fetch it")
  elseif(NOT TARGET xtl)
    # Debian 12's package asks to link xtl, headers that it neither needs nor depends on.
    set_property(TARGET xsimd PROPERTY INTERFACE_LINK_LIBRARIES "")
  endif()
endif()

if(QCNET_BUILD_TESTS AND NOT TARGET doctest::doctest)
  find_package(doctest CONFIG QUIET)
  if(NOT doctest_FOUND)
    set(DOCTEST_NO_INSTALL ON)
    qcnet_fetch(doctest https://github.com/doctest/doctest v2.4.12)
  endif()
endif()

if(QCNET_BUILD_BENCH)
  find_package(benchmark CONFIG QUIET)
  if(NOT benchmark_FOUND)
    set(BENCHMARK_ENABLE_TESTING OFF)
    set(BENCHMARK_ENABLE_INSTALL OFF)
    qcnet_fetch(benchmark https://github.com/google/benchmark v1.9.1)
  endif()
endif()

if(QCNET_BUILD_EXAMPLES)
  find_package(CLI11 CONFIG QUIET)
  if(NOT CLI11_FOUND)
    qcnet_fetch(CLI11 https://github.com/CLIUtils/CLI11 v2.4.2)
  endif()
endif()

# pugixml reads the boxes of a detector's pictures. It is compiled: a cross build of the tests alone, which can do without,
# has it only if its system does.
if((QCNET_BUILD_TESTS OR QCNET_BUILD_EXAMPLES) AND NOT TARGET pugixml::pugixml)
  find_package(pugixml CONFIG QUIET)
  if(NOT pugixml_FOUND AND (QCNET_BUILD_EXAMPLES OR NOT CMAKE_CROSSCOMPILING))
    set(PUGIXML_INSTALL OFF)
    qcnet_fetch(pugixml https://github.com/zeux/pugixml v1.14)
  endif()
endif()

# stb_image is one header; vision/image.hpp includes <stb/stb_image.h>. Only programs that read pictures need it.
find_path(QCNET_STB_INCLUDE_DIR stb/stb_image.h)
if(NOT QCNET_STB_INCLUDE_DIR AND (QCNET_BUILD_TESTS OR QCNET_BUILD_EXAMPLES))
  FetchContent_Declare(stb GIT_REPOSITORY https://github.com/nothings/stb
    GIT_TAG 5736b15f7ea0ffb08dd38af21067c314d6a3aae9 SOURCE_DIR ${CMAKE_BINARY_DIR}/_deps/include/stb)
  FetchContent_MakeAvailable(stb)
  set(QCNET_STB_INCLUDE_DIR ${CMAKE_BINARY_DIR}/_deps/include CACHE PATH "" FORCE)
endif()
