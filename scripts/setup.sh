#!/usr/bin/env bash
# Installs what building, running and testing need, on Debian 12 and 13, Ubuntu 22.04 and 24.04:
# system packages by apt-get, libtorch and Python packages from PyPI into .venv of the repository.
#
#   scripts/setup.sh [--slim | --full]
#
#   --slim   what a machine without a GPU needs to build and run the programs (1.4 GB)
#   --full   also the libraries for GPUs and everything the tests compare with (5.5 GB)
#   default  --full where nvidia-smi shows a GPU, else --slim
#
# What is there already is kept; --full upgrades a slim .venv. Without root, sudo is used if it asks
# for no password; if it does, the one command for an administrator is printed.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly venv=$root/.venv
readonly python=$venv/bin/python
readonly build_packages=(
  ca-certificates cmake g++ ninja-build python3 python3-venv
  libboost-program-options-dev libhdf5-dev libisal-dev libjpeg-dev libopencv-dev libpng-dev
  libssl-dev libzip-dev nlohmann-json3-dev)
readonly test_packages=(
  clang clang-format clang-tidy hdf5-tools libbenchmark-dev libgtest-dev shellcheck)
# Only save time: where they can't be had, the setup goes on without them.
readonly optional_packages=(ccache git)

parse_level() {
  level=slim
  if has_gpu; then
    level=full
  fi
  for argument in "$@"; do
    case $argument in
      --slim) level=slim ;;
      --full) level=full ;;
      --help | -h) show_help && exit 0 ;;
      *) usage_error "unknown option $argument" ;;
    esac
  done
}

missing_packages() {
  local package
  for package in "$@"; do
    if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
      echo "$package"
    fi
  done
}

# Runs a command as root: directly, or by a sudo that does not ask.
as_root() {
  if [[ $(id -u) == 0 ]]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

may_be_root() {
  [[ $(id -u) == 0 ]] || sudo -n true 2>/dev/null
}

apt_install() {
  say "Installing ${#} system packages: $*"
  as_root apt-get update -qq || say "The package lists could not be renewed; trying with old ones"
  as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

install_optional_packages() {
  local missing
  mapfile -t missing < <(missing_packages "${optional_packages[@]}")
  if [[ ${#missing[@]} != 0 ]] && may_be_root; then
    apt_install "${missing[@]}" || say "Going on without ${missing[*]}"
  fi
}

# Another system than Debian: its packages have other names, and may be there.
check_tools() {
  local tool
  for tool in cmake g++ ninja python3; do
    command -v "$tool" >/dev/null ||
      die "$tool is missing, and this is not a Debian or Ubuntu system;" \
        "please install what corresponds to: $*"
  done
  say "Not a Debian or Ubuntu system: if the build misses something," \
    "install what corresponds to: $*"
}

install_system_packages() {
  local wanted=("${build_packages[@]}") missing
  if [[ $level == full ]]; then
    wanted+=("${test_packages[@]}")
  fi
  if ! command -v dpkg-query >/dev/null; then
    check_tools "${wanted[@]}"
    return
  fi
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  if [[ ${#missing[@]} != 0 ]] && ! may_be_root; then
    echo "Some system packages are missing. Ask an administrator to run:" >&2
    echo "  sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  if [[ ${#missing[@]} != 0 ]]; then
    apt_install "${missing[@]}" || die "apt-get could not install: ${missing[*]}"
  fi
  install_optional_packages
  if [[ $level == full ]]; then
    # clang's fuzzer and sanitizers are in a package named after its version, or in clang's own.
    if command -v clang >/dev/null; then
      install_if_there_is "libclang-rt-$(clang -dumpversion | cut -d . -f 1)-dev" \
        "scripts/test.sh --fuzz needs it"
    fi
    install_if_there_is chromium "the report's page is not tested in a browser"
  fi
}

# A package that not every system has, and what is missing without it.
install_if_there_is() {
  local package=$1 consequence=$2
  if [[ -n $(missing_packages "$package") ]] && may_be_root &&
    apt-cache show "$package" >/dev/null 2>&1; then
    apt_install "$package" || say "Going on without $package: $consequence"
  fi
}

make_venv() {
  if "$python" -m pip --version >/dev/null 2>&1; then
    return
  fi
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die "Python 3.10 or newer is needed, found $(python3 --version)"
  python3 -c 'import ensurepip' 2>/dev/null ||
    die "Python's venv module is incomplete: please install the package python3-venv"
  say "Making $venv"
  python3 -m venv --clear "$venv"
}

requirements_hash() {
  { "$python" --version && cat "$root/scripts/requirements-$1.txt"; } | sha256sum | cut -d ' ' -f 1
}

# A stamp names the requirements that .venv has; full includes slim.
has_requirements() {
  local stamp=$venv/last-requirements-$1
  [[ -f $stamp && $(<"$stamp") == "$(requirements_hash "$1")" ]]
}

install_python_packages() {
  local options=(--quiet --disable-pip-version-check)
  if has_requirements "$level" || has_requirements full; then
    return
  fi
  rm -f "$venv"/last-requirements-*
  say "Installing Python packages ($level) into $venv; this takes a minute or two"
  if [[ $level == slim ]]; then
    options+=(--no-deps)
  fi
  "$python" -m pip install "${options[@]}" -r "$root/scripts/requirements-$level.txt" ||
    die "pip could not install scripts/requirements-$level.txt"
  requirements_hash "$level" >"$venv/last-requirements-$level"
}

parse_level "$@"
install_system_packages
make_venv
install_python_packages
say "Ready: system packages, $("$python" --version), libtorch ($level)"
