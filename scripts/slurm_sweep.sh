#!/usr/bin/env bash
# Trains one grid as a Slurm array, a part of it per task, and joins the parts when all are done.
#
#   scripts/slurm_sweep.sh --parts N --run DIR [--sbatch OPTION]... -- TRAINER OPTION..
#
#   --parts N        tasks of the array, 2 to 99999; at most the number of networks in the grid
#   --run DIR        the joined run; part I writes DIR.0000I-of-0000N beside it
#   --sbatch OPTION  an option of both jobs, e.g. --sbatch --cpus-per-task=8 --sbatch --time=4:00:00
#   TRAINER OPTION   options of `trainer run` without --run and --part
#
# For example:
#   scripts/slurm_sweep.sh --parts 8 --run runs/sweep --sbatch --cpus-per-task=8 -- \
#       --train train.h5 --val val.h5 --learning-rate 3e-4,1e-3,3e-3 --rank 4,8,16,32 --seed 0,1
#
# A task that Slurm stops (time limit, preemption) saves where it is: run the same command again,
# finished parts end at once. The join waits for all parts. With --retrain the joined run is still to
# be chosen and retrained: `trainer run --run DIR` with the same options does that.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

trainer=${LAST_BIN:-$root/build/bin}/trainer
parts=
run=
sbatch_options=()

while [[ $# -gt 0 && $1 != -- ]]; do
  case $1 in
    --parts | --run | --sbatch) [[ $# -ge 2 ]] || usage_error "$1 needs a value" ;;&
    --parts) parts=$2 && shift 2 ;;
    --run) run=$2 && shift 2 ;;
    --sbatch) sbatch_options+=("$2") && shift 2 ;;
    --help | -h) show_help && exit 0 ;;
    *) usage_error "unknown option $1" ;;
  esac
done
[[ $# -gt 1 ]] || usage_error "no options of trainer run after --"
shift
[[ $parts =~ ^[1-9][0-9]{0,4}$ && $parts != 1 ]] ||
  usage_error "--parts: a number from 2 to 99999 is needed"
[[ -n $run ]] || usage_error "--run is missing"
for option in "$@"; do
  case $option in
    --run | --run=* | --part | --part=*) usage_error "$option is given by this script" ;;
  esac
done
command -v sbatch > /dev/null || usage_error "sbatch is not found: is this a Slurm cluster?"
[[ -x $trainer ]] || usage_error "$trainer is not built (scripts/build.sh)"

# A command as one line for any shell (Slurm takes /bin/sh), whatever its words hold.
quoted() {
  local word
  printf 'exec'
  for word in "$@"; do
    printf " '%s'" "${word//\'/\'\\\'\'}"
  done
}

array=$(sbatch --parsable --job-name=trainer "--array=0-$((parts - 1))" "${sbatch_options[@]}" \
  --wrap "$(quoted "$trainer" run --run "$run" --part auto "$@")")
array=${array%%;*} # ID;CLUSTER where there are several clusters
joined=$(sbatch --parsable --job-name=trainer-merge "--dependency=afterok:$array" \
  --kill-on-invalid-dep=yes \
  "${sbatch_options[@]}" --wrap "$(quoted "$trainer" merge --run "$run" --out "$run")")
say "Array $array trains $parts parts, then job ${joined%%;*} joins them in $run"
