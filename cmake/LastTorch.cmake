# Defines last::torch: headers, libtorch_cpu and libc10 of a libtorch, without its own CMake package,
# which insists on a CUDA toolkit. A GPU build's other libraries are loaded at run time when they are
# asked for (common/cli/device.h), so that the same binaries serve machines with and without a GPU.
#
# Looked for in LAST_TORCH_DIR, then CMAKE_PREFIX_PATH, then the .venv beside CMakeLists.txt.

file(GLOB last_venv_torch ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
find_path(LAST_TORCH_INCLUDE_DIR ATen/ATen.h
          HINTS ${LAST_TORCH_DIR} PATHS ${last_venv_torch} PATH_SUFFIXES include)
if(NOT LAST_TORCH_INCLUDE_DIR)
  message(FATAL_ERROR "No libtorch found. Run scripts/setup.sh, which installs one into .venv, or "
                      "name yours with -DLAST_TORCH_DIR=DIR (the folder with include/ and lib/).")
endif()
get_filename_component(last_torch_root ${LAST_TORCH_INCLUDE_DIR} DIRECTORY)
find_library(LAST_TORCH_CPU_LIBRARY torch_cpu PATHS ${last_torch_root}/lib NO_DEFAULT_PATH REQUIRED)
find_library(LAST_C10_LIBRARY c10 PATHS ${last_torch_root}/lib NO_DEFAULT_PATH REQUIRED)

add_library(last_torch INTERFACE)
add_library(last::torch ALIAS last_torch)
target_include_directories(last_torch SYSTEM INTERFACE ${LAST_TORCH_INCLUDE_DIR})
target_link_libraries(last_torch INTERFACE ${LAST_TORCH_CPU_LIBRARY} ${LAST_C10_LIBRARY}
                                           Threads::Threads)
# RPATH, not RUNPATH: only the former is also searched for what libtorch itself needs.
target_link_options(last_torch INTERFACE -Wl,--disable-new-dtags)
# CMake leaves folders inside the source tree, such as .venv, out of installed programs by itself.
list(APPEND CMAKE_INSTALL_RPATH ${last_torch_root}/lib)
message(STATUS "libtorch: ${last_torch_root}")
