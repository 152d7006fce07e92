#!/usr/bin/env bash
# Everything that a change must pass: formatting, a build without warnings, unit tests, and the
# comparison of both programs with Python peers.
#
#   scripts/test.sh [--unit] [--interop] [--sanitize] [--tsan] [--fuzz] [--tidy]
#
#   --unit      formatting, build, unit tests
#   --interop   build, comparisons with timm, transformers, h5py and PIL, tests of the scripts
#   --sanitize  unit tests with address and undefined-behaviour sanitizers, in build-sanitize
#   --tsan      tests of queues, readers and writers with the thread sanitizer, in build-tsan
#   --fuzz      every reader of files from outside, with libFuzzer and the same sanitizers, in
#               build-fuzz: FUZZ_SECONDS each (20), from tests/fuzz/corpus. The same sequence of
#               inputs each time, as far as the time reaches, so that what fails is the change;
#               FUZZ_SEED=2 tries others, FUZZ_SEED=0 draws
#   --tidy      clang-tidy on the programs' sources, in build-tidy: about half an hour on two cores
#   default     --unit --interop
#
# Parts are run one after the other; the first that fails ends the script.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

parse_parts() {
  parts=()
  for argument in "$@"; do
    case $argument in
      --unit | --interop | --sanitize | --tsan | --fuzz | --tidy) parts+=("${argument#--}") ;;
      --help | -h) show_help && exit 0 ;;
      *) usage_error "unknown option $argument" ;;
    esac
  done
  if [[ ${#parts[@]} == 0 ]]; then
    parts=(unit interop)
  fi
}

wants() {
  [[ " ${parts[*]} " == *" $1 "* ]]
}

check_scripts() {
  say "Checking the shell scripts"
  shellcheck -x "$root"/scripts/*.sh "$root/.ci/run"
}

# The tracked files of these patterns that exist, into `files`; fails where git lists none.
find_files() {
  local file listed
  files=()
  listed=$(git -C "$root" ls-files "$@") || return
  while IFS= read -r file; do
    if [[ -f $root/$file ]]; then # not deleted
      files+=("$file")
    fi
  done <<<"$listed"
  [[ ${#files[@]} != 0 ]]
}

# The path of a tool of LLVM 14. One version decides: others lay out some lines differently, and
# check other things.
llvm_tool() {
  local tool
  tool=$(command -v "$1-14" || command -v "$1") && [[ $("$tool" --version) == *"version 14."* ]] &&
    echo "$tool"
}

# What a check lacks is an error in continuous integration; elsewhere it is said.
lacking() {
  [[ -z ${CI:-} ]] || die "$*"
  say "$*"
}

check_format() {
  local formatter
  if ! formatter=$(llvm_tool clang-format); then
    lacking "Formatting is not checked: that takes clang-format 14"
    return
  fi
  if ! find_files '*.h' '*.cpp'; then
    lacking "Formatting is not checked: that takes a git checkout"
    return
  fi
  say "Checking the formatting"
  (cd "$root" && "$formatter" --dry-run --Werror "${files[@]}")
}

run_ctest() {
  (cd "$root" && ctest --test-dir "$1" --output-on-failure -j "$(nproc)")
}

run_unit() {
  check_scripts
  check_format
  "$root/scripts/build.sh" --tests -DLAST_WERROR=ON
  say "Unit tests"
  run_ctest "$root/build"
}

# Warnings are for the other builds: GCC 12 sees uninitialised memory where its sanitizers look.
run_sanitize() {
  "$root/scripts/build.sh" --tests --build-dir "$root/build-sanitize" -DLAST_WERROR=OFF \
    "-DLAST_SANITIZE=address;undefined" -DCMAKE_BUILD_TYPE=RelWithDebInfo
  say "Unit tests with sanitizers"
  # Libtorch keeps some memory until the end on purpose.
  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1 run_ctest "$root/build-sanitize"
}

# Programs whose threads are our own. Libtorch is not instrumented: in its parallel loops the
# sanitizer would see nothing or ghosts.
readonly thread_tests=(extractor_test feature_store_test threads_test trainer_data_test)

run_tsan() {
  local build=$root/build-tsan
  cmake --log-level=WARNING -G Ninja -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DLAST_WERROR=ON -DLAST_BUILD_BENCHMARKS=OFF -DLAST_SANITIZE=thread
  cmake --build "$build" --target "${thread_tests[@]}"
  say "Tests of threads with the thread sanitizer"
  # The sanitizer of GCC 12 can't cope with all that a kernel may do to the layout of memory.
  (cd "$root" && TSAN_OPTIONS="halt_on_error=1 suppressions='$root/tests/tsan_suppressions.txt'" \
    setarch "$(uname -m)" -R \
    ctest --test-dir "$build" --output-on-failure -R "^($(IFS='|' && echo "${thread_tests[*]}"))\$")
}

# What is found lies in build-fuzz/found; once fixed, it belongs into tests/fuzz/corpus/TARGET.
fuzz_target() {
  local target=$1 work=$root/build-fuzz/work/$1 log=$root/build-fuzz/work/$1.log seeds
  local run=()
  # The order of seeds decides what is made of them, and a folder's own order differs by machine. So
  # do addresses, which the fuzzer learns from comparisons; some containers don't let them be fixed.
  seeds=("$root/tests/fuzz/corpus/$target"/*)
  if setarch "$(uname -m)" -R true 2>/dev/null; then
    run=(setarch "$(uname -m)" -R)
  fi
  rm -rf "$work"
  mkdir -p "$work" "$root/build-fuzz/found"
  if ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    "${run[@]}" "$root/build-fuzz/bin/fuzz_$target" "-max_total_time=${FUZZ_SECONDS:-20}" \
    -max_len=8192 "-seed=${FUZZ_SEED:-1}" "-seed_inputs=$(IFS=, && echo "${seeds[*]}")" \
    -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 \
    "-artifact_prefix=$root/build-fuzz/found/$target-" "$work" >"$log" 2>&1; then
    say "fuzz_$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs"
  else
    tail -n 40 "$log" >&2
    die "fuzz_$target failed; its input is in build-fuzz/found"
  fi
}

run_fuzz() {
  local targets=("$root"/tests/fuzz/corpus/*/)
  CC=clang CXX=clang++ "$root/scripts/build.sh" --build-dir "$root/build-fuzz" \
    --target last_fuzz_targets -DLAST_BUILD_TESTS=ON -DLAST_FUZZ=ON \
    "-DLAST_SANITIZE=address;undefined;fuzzer-no-link" -DCMAKE_CXX_FLAGS_RELEASE="-O1 -g1"
  say "Fuzzing ${#targets[@]} targets for ${FUZZ_SECONDS:-20} s each"
  export -f fuzz_target say die
  export root
  basename -a "${targets[@]}" | xargs -P "$(nproc)" -I '{}' \
    bash -euo pipefail -c 'fuzz_target {}' "$0"
}

# Nothing is built: clang-tidy reads sources and headers itself, without precompiled ones.
run_tidy() {
  local build=$root/build-tidy tidy
  tidy=$(llvm_tool clang-tidy) || die "--tidy takes clang-tidy 14"
  find_files 'common/*.cpp' 'extractor/*.cpp' 'trainer/*.cpp' || die "--tidy takes a git checkout"
  CC=clang CXX=clang++ cmake --log-level=WARNING -G Ninja -S "$root" -B "$build" \
    -DCMAKE_BUILD_TYPE=Release -DLAST_BUILD_TESTS=OFF -DLAST_BUILD_BENCHMARKS=OFF \
    -DLAST_PRECOMPILE=OFF
  say "Checking ${#files[@]} files with clang-tidy"
  # It counts the warnings that it doesn't show on standard error.
  (cd "$root" && printf '%s\0' "${files[@]}" |
    xargs -0 -P "$(nproc)" -n 1 "$tidy" -p "$build" --quiet 2>"$build/stderr.txt") ||
    die "clang-tidy is not content; what else it said is in $build/stderr.txt"
}

# The programs under test use all cores themselves: more workers than a few only take memory. Tests
# of a file stay together, since they share what the first of them made. Files start in this order:
# the demonstration, which takes longest, at once.
run_interop() {
  local workers
  workers=$(nproc)
  if ! wants unit; then
    "$root/scripts/build.sh" --tests -DLAST_WERROR=ON
  fi
  say "Comparisons with Python peers"
  (cd "$root" && LAST_BIN="$root/build/bin" .venv/bin/python -m pytest -q \
    -n "$((workers < 4 ? workers : 4))" --dist loadfile --no-loadscope-reorder \
    tests/scripts tests/interop)
}

# Tests run side by side: threads that wait for one another's work must leave the cores to them.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

parse_parts "$@"
"$root/scripts/setup.sh" --full
for part in unit sanitize tsan fuzz tidy interop; do
  if wants "$part"; then
    "run_$part"
  fi
done
