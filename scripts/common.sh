# shellcheck shell=bash
# Sourced by the scripts beside it: where the repository is, and how they talk.

unset CDPATH # with it, cd prints where it went
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # used by the scripts that source this
readonly root

say() {
  printf '== %s\n' "$*" >&2
}

die() {
  printf '%s: error: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

usage_error() {
  printf '%s: error: %s (see --help)\n' "$(basename "$0")" "$*" >&2
  exit 2
}

# Prints the comment at the top of the calling script.
show_help() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
}

has_gpu() {
  # No pipe into grep -q: it ends at the first match, and nvidia-smi fails writing the rest.
  [[ $(nvidia-smi -L 2>/dev/null) == *GPU* ]]
}
