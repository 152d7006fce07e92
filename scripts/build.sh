#!/usr/bin/env bash
# Configures and builds the programs: build/bin/extractor and build/bin/trainer.
#
#   scripts/build.sh [--tests | --target NAME] [--build-dir DIR] [CMAKE OPTION..]
#
#   --tests          also the unit tests and benchmarks
#   --target NAME    only this target
#   --build-dir DIR  default: build in the repository
#   CMAKE OPTION     e.g. -DLAST_TORCH_DIR=/opt/libtorch or -DLAST_WERROR=ON
#
# Needs what scripts/setup.sh installs.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

build_dir=$root/build
targets=(extractor trainer)
cmake_options=()

while [[ $# -gt 0 ]]; do
  case $1 in
    --tests)
      targets=(all)
      cmake_options+=(-DLAST_BUILD_TESTS=ON -DLAST_BUILD_BENCHMARKS=ON)
      ;;
    --target)
      [[ $# -ge 2 ]] || usage_error "--target needs a name"
      targets=("$2")
      shift
      ;;
    --build-dir)
      [[ $# -ge 2 ]] || usage_error "--build-dir needs a folder"
      build_dir=$2
      shift
      ;;
    -D*) cmake_options+=("$1") ;;
    --help | -h) show_help && exit 0 ;;
    *) usage_error "unknown option $1" ;;
  esac
  shift
done

# A folder that was configured before keeps its choices.
if [[ ! -f $build_dir/CMakeCache.txt ]]; then
  cmake_options=(-G Ninja -DCMAKE_BUILD_TYPE=Release -DLAST_BUILD_TESTS=OFF
    -DLAST_BUILD_BENCHMARKS=OFF "${cmake_options[@]}")
fi
cmake --log-level=WARNING -S "$root" -B "$build_dir" "${cmake_options[@]}"
cmake --build "$build_dir" --target "${targets[@]}"
say "Built: $build_dir/bin"
