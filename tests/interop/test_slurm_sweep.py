"""scripts/slurm_sweep.sh, with an sbatch that runs every task of an array here and now."""

import os
import subprocess

import pytest

from paths import BIN, ROOT
from test_merge import check_same_run
from trainer_runs import command, train

# Writes its arguments down, one per line, and runs the wrapped command as Slurm would.
SBATCH = """#!/bin/bash
printf '%s\\n' "$@" >> "$SBATCH_LOG"
while [[ $# -gt 0 ]]; do
  case $1 in
    --array=*) array=${1#--array=} ;;
    --wrap) wrap=$2; shift ;;
  esac
  shift
done
if [[ -n ${array:-} ]]; then
  export SLURM_ARRAY_TASK_MIN=${array%-*} SLURM_ARRAY_TASK_MAX=${array#*-}
  export SLURM_ARRAY_TASK_COUNT=$((SLURM_ARRAY_TASK_MAX - SLURM_ARRAY_TASK_MIN + 1))
  for ((task = SLURM_ARRAY_TASK_MIN; task <= SLURM_ARRAY_TASK_MAX; task++)); do
    SLURM_ARRAY_TASK_ID=$task sh -c "$wrap" >&2 || exit 1
  done
else
  sh -c "$wrap" >&2 || exit 1
fi
echo "4711;cluster"
"""


@pytest.fixture
def slurm(tmp_path):
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "sbatch").write_text(SBATCH)
    (commands / "sbatch").chmod(0o755)
    return {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "LAST_BIN": str(BIN),
            "SBATCH_LOG": str(tmp_path / "log")}


def sweep(environment, *arguments):
    return subprocess.run(["bash", ROOT / "scripts" / "slurm_sweep.sh", *map(str, arguments)],
                          capture_output=True, text=True, check=False, env=environment)


def test_an_array_of_parts_is_the_whole_grid(tiny, tmp_path, slurm):
    grid = ["--learning-rate", "1e-3,1e-2", "--seed", "0,1"]
    train(tiny, tmp_path / "whole", *grid)
    run = tmp_path / "a run with spaces"
    options = command(tiny, run, *grid)[4:]  # without trainer run --run DIR
    result = sweep(slurm, "--parts", 3, "--run", run, "--sbatch", "--cpus-per-task=2", "--", *options)
    assert result.returncode == 0, result.stderr
    check_same_run(tmp_path / "whole", run)
    assert sorted(p.name for p in tmp_path.glob("a run*")) == [
        run.name, *(f"{run.name}.0000{i}-of-00003" for i in range(3))]
    log = (tmp_path / "log").read_text().splitlines()
    assert "--array=0-2" in log and "--dependency=afterok:4711" in log
    assert log.count("--cpus-per-task=2") == 2
    assert "Array 4711 trains 3 parts, then job 4711 joins them" in result.stderr
    again = sweep(slurm, "--parts", 3, "--run", run, "--", *options)
    assert again.returncode == 0 and again.stderr.count("finished already") == 4


def test_numbers_and_options_that_can_not_be_meant(tmp_path, slurm):
    for arguments, message in [
        (["--parts", "0", "--run", "x", "--", "--train", "a.h5"], "from 2 to 99999"),
        (["--parts", "1", "--run", "x", "--", "--train", "a.h5"], "from 2 to 99999"),
        (["--parts", "2.5", "--run", "x", "--", "--train", "a.h5"], "--parts"),
        (["--parts", "100000", "--run", "x", "--", "--train", "a.h5"], "--parts"),
        (["--run", "x", "--", "--train", "a.h5"], "--parts"),
        (["--parts", "2", "--", "--train", "a.h5"], "--run is missing"),
        (["--parts", "2", "--run", "x"], "no options"),
        (["--parts", "2", "--run", "x", "--", "--part", "0/2"], "--part is given"),
        (["--parts"], "--parts needs a value"),
    ]:
        result = sweep(slurm, *arguments)
        assert result.returncode == 2 and message in result.stderr, result.stderr
    assert not (tmp_path / "log").exists()
