# Interface targets for warnings and sanitizers, and the helpers that every folder uses:
#   add_last_library(NAME SOURCES... [DEPENDS targets...])
#   add_last_test(NAME SOURCES... [DEPENDS targets...])
#   add_last_benchmark(NAME SOURCES... [DEPENDS targets...])

add_library(last_warnings INTERFACE)
target_compile_options(last_warnings INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
                                               -Woverloaded-virtual)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 warns of overlapping copies inside std::string where there are none (GCC bug 105651).
  target_compile_options(last_warnings INTERFACE -Wno-restrict)
endif()
if(LAST_WERROR)
  target_compile_options(last_warnings INTERFACE -Werror)
endif()

add_library(last_sanitize INTERFACE)
if(LAST_SANITIZE)
  list(JOIN LAST_SANITIZE "," last_sanitize_list)
  target_compile_options(last_sanitize INTERFACE -fsanitize=${last_sanitize_list}
                                                 -fno-omit-frame-pointer -g)
  target_link_options(last_sanitize INTERFACE -fsanitize=${last_sanitize_list})
endif()

# The same expression gives the same bits in a vectorised loop and in its scalar rest.
add_library(last_floating_point INTERFACE)
target_compile_options(last_floating_point INTERFACE -ffp-contract=off -fno-math-errno)

function(last_configure_target name)
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE last_warnings last_sanitize last_floating_point)
endfunction()

function(add_last_library name)
  cmake_parse_arguments(arg "" "" "DEPENDS" ${ARGN})
  add_library(${name} STATIC ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC ${arg_DEPENDS})
  last_configure_target(${name})
endfunction()

# Test programs find small committed reference files under tests/ through LAST_SOURCE_DIR.
function(add_last_test name)
  cmake_parse_arguments(arg "" "" "DEPENDS" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${arg_DEPENDS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE LAST_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  last_configure_target(${name})
  add_test(NAME ${name} COMMAND ${name})
  # HDF5 must not print its own error stacks: what went wrong is said once, in one line.
  set_tests_properties(${name} PROPERTIES FAIL_REGULAR_EXPRESSION "HDF5-DIAG")
endfunction()

function(add_last_benchmark name)
  if(NOT LAST_BUILD_BENCHMARKS)
    return()
  endif()
  find_package(benchmark REQUIRED)
  cmake_parse_arguments(arg "" "" "DEPENDS" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${arg_DEPENDS} benchmark::benchmark)
  last_configure_target(${name})
endfunction()
