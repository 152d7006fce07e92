# Interface targets for warnings and sanitizers, and the helpers that every folder uses:
#   add_last_library(NAME SOURCES... [PRECOMPILED] [DEPENDS targets...])
#   add_last_test(NAME SOURCES... [PRECOMPILED] [DEPENDS targets...])
#   add_last_benchmark(NAME SOURCES... [PRECOMPILED] [DEPENDS targets...])
#   add_last_kernels(LIBRARY ISA SOURCES... [FLAGS options...] [DEPENDS targets...])
# PRECOMPILED: most of its files include a tensor or JSON, whose headers cost more time than the file.

add_library(last_warnings INTERFACE)
target_compile_options(last_warnings INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
                                               -Woverloaded-virtual)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 warns of overlapping copies inside std::string where there are none (GCC bug 105651), and of
  # too long ones where its header is a precompiled one.
  target_compile_options(last_warnings INTERFACE -Wno-restrict)
  if(LAST_PRECOMPILE)
    target_compile_options(last_warnings INTERFACE -Wno-array-bounds -Wno-stringop-overflow
                                                   -Wno-stringop-overread)
  endif()
endif()
if(LAST_WERROR)
  target_compile_options(last_warnings INTERFACE -Werror)
endif()

add_library(last_sanitize INTERFACE)
if(LAST_SANITIZE)
  list(JOIN LAST_SANITIZE "," last_sanitize_list)
  target_compile_options(last_sanitize INTERFACE -fsanitize=${last_sanitize_list}
                                                 -fno-omit-frame-pointer)
  target_compile_definitions(last_sanitize INTERFACE LAST_SANITIZED)
  target_link_options(last_sanitize INTERFACE -fsanitize=${last_sanitize_list})
endif()

# The same expression gives the same bits in a vectorised loop and in its scalar rest.
add_library(last_floating_point INTERFACE)
target_compile_options(last_floating_point INTERFACE -ffp-contract=off -fno-math-errno)

function(last_configure_target name)
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE last_warnings last_sanitize last_floating_point)
endfunction()

# Headers that are slow to read and hardly ever change. Files include what they use all the same:
# -DLAST_PRECOMPILE=OFF builds without.
function(add_last_precompiled_headers)
  if(LAST_PRECOMPILE)
    file(WRITE ${CMAKE_BINARY_DIR}/precompiled.cpp "")
    add_library(last_precompiled OBJECT ${CMAKE_BINARY_DIR}/precompiled.cpp)
    target_link_libraries(last_precompiled PRIVATE last::torch nlohmann_json::nlohmann_json)
    last_configure_target(last_precompiled)
    target_precompile_headers(last_precompiled PRIVATE <algorithm> <map> <memory> <string> <vector>
                              <ATen/core/Tensor.h> <nlohmann/json.hpp>)
  endif()
endfunction()

function(last_use_precompiled_headers name)
  if(LAST_PRECOMPILE)
    target_precompile_headers(${name} REUSE_FROM last_precompiled)
  endif()
endfunction()

function(add_last_library name)
  cmake_parse_arguments(arg "PRECOMPILED" "" "DEPENDS" ${ARGN})
  add_library(${name} STATIC ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC ${arg_DEPENDS})
  last_configure_target(${name})
  if(arg_PRECOMPILED)
    last_use_precompiled_headers(${name})
  endif()
endfunction()

# Adds sources to a library, compiled for one instruction set. All that they define is in a namespace
# of its name (LAST_ISA_NAMESPACE): no two instruction sets share a function.
function(add_last_kernels library isa)
  cmake_parse_arguments(arg "" "" "FLAGS;DEPENDS" ${ARGN})
  set(name ${library}_${isa})
  add_library(${name} OBJECT ${arg_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE LAST_ISA_NAMESPACE=${isa} LAST_ISA_NAME="${isa}")
  # Vectors are passed between functions of the same file only: how others would, is no matter.
  target_compile_options(${name} PRIVATE -fno-math-errno -Wno-psabi ${arg_FLAGS})
  target_link_libraries(${name} PRIVATE last_warnings last_sanitize ${arg_DEPENDS})
  target_sources(${library} PRIVATE $<TARGET_OBJECTS:${name}>)
endfunction()

# Test programs find small committed reference files under tests/ through LAST_SOURCE_DIR.
function(add_last_test name)
  cmake_parse_arguments(arg "PRECOMPILED" "" "DEPENDS" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${arg_DEPENDS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE LAST_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  last_configure_target(${name})
  if(arg_PRECOMPILED)
    last_use_precompiled_headers(${name})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  # HDF5 must not print its own error stacks: what went wrong is said once, in one line.
  set_tests_properties(${name} PROPERTIES FAIL_REGULAR_EXPRESSION "HDF5-DIAG")
endfunction()

function(add_last_benchmark name)
  if(NOT LAST_BUILD_BENCHMARKS)
    return()
  endif()
  find_package(benchmark REQUIRED)
  cmake_parse_arguments(arg "PRECOMPILED" "" "DEPENDS" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${arg_DEPENDS} benchmark::benchmark)
  last_configure_target(${name})
  if(arg_PRECOMPILED)
    last_use_precompiled_headers(${name})
  endif()
endfunction()
