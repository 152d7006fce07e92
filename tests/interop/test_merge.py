"""`trainer run --part` and `trainer merge`: the same files as one run of the whole grid gives."""

import json
import os
import shutil
import subprocess

import pandas
import pytest

from paths import tool
from trainer_runs import command, failing, train

GRID = ["--method", "last,linear", "--rank", "2,4", "--learning-rate", "1e-3,1e-2", "--seed", "0,1"]


def merge(*arguments):
    return [str(a) for a in (tool("trainer"), "merge", *arguments)]


def run_merge(*arguments):
    result = subprocess.run(merge(*arguments), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result


def train_parts(tiny, base, count, *options):
    parts = [base.with_name(f"{base.name}{i}") for i in range(count)]
    for i, part in enumerate(parts):
        train(tiny, part, *options, "--part", f"{i}/{count}")
    return parts


def table(run):
    return (pandas.read_csv(run / "networks.csv").drop(columns="seconds"))


def metrics(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return sorted((line["epoch"], line["network"], line["learning_rate"], line["train_loss"],
                   line["train_accuracy"], line["val_accuracy"],
                   line["val_loss"]) for line in lines)


def check_same_run(whole, merged):
    pandas.testing.assert_frame_equal(table(whole), table(merged))
    assert metrics(whole) == metrics(merged)
    names = sorted(path.name for path in (whole / "networks").iterdir())
    assert names == sorted(path.name for path in (merged / "networks").iterdir())
    for name in names:
        first, second = ((run / "networks" / name).read_bytes() for run in (whole, merged))
        assert first == second, name
    for path in whole.glob("best.*"):
        assert path.read_bytes() == (merged / path.name).read_bytes(), path.name
    assert (whole / "summary.txt").read_text() == (merged / "summary.txt").read_text()


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    result = train(tiny, run, *GRID)
    return run, result.stdout


@pytest.fixture(scope="module")
def parts(tiny, tmp_path_factory):
    return train_parts(tiny, tmp_path_factory.mktemp("parts") / "part", 3, *GRID)


def test_merged_parts_are_the_unparted_run(tiny, tmp_path, whole, parts):
    run, table_text = whole
    networks = [list(table(part).network) for part in parts]
    assert networks == [list(range(i, 24, 3)) for i in range(3)]
    for part in parts:  # a part can't choose
        assert not list(part.glob("best.*"))
        assert "trainer merge" in (part / "summary.txt").read_text()
    merged = tmp_path / "merged"
    result = run_merge("--run", ",".join(str(p) for p in reversed(parts)), "--out", merged)
    check_same_run(run, merged)
    assert result.stdout == table_text
    # The merged run is a finished one of the same configuration, and merging again shows it.
    assert not list(merged.glob("predictions.*"))  # merging sees no features
    again = train(tiny, merged, *GRID)
    assert "finished already" in again.stderr and again.stdout == table_text
    predictions = sorted(run.glob("predictions.*.csv"))
    assert len(predictions) == 2
    for path in predictions:
        assert path.read_bytes() == (merged / path.name).read_bytes()
    again = run_merge("--run", ",".join(str(p) for p in parts), "--out", merged)
    assert "finished already" in again.stderr and again.stdout == table_text
    page = tmp_path / "page.html"
    subprocess.run([tool("trainer"), "report", "--run", merged, "--out", page], check=True,
                   capture_output=True)
    assert page.stat().st_size > 0
    config = json.loads((merged / "config.json").read_text())
    assert [entry["run"] for entry in config["merged"]] == [str(p) for p in parts]


def test_retraining_follows_merging(tiny, tmp_path):
    options = ["--method", "last,linear", "--learning-rate", "1e-3,1e-2", "--target", "corner",
               "--retrain", "train+val", "--retrain-seeds", "4,5"]
    train(tiny, tmp_path / "whole", *options)
    parts = train_parts(tiny, tmp_path / "part", 2, *options)
    for part in parts:
        assert table(part).test_accuracy.isna().all()  # tested once, after choosing
    merged = tmp_path / "merged"
    result = run_merge("--run", ",".join(map(str, parts)), "--out", merged)
    assert "without --part" in result.stderr and "retrains" in result.stderr
    assert not (merged / "networks.csv").exists()
    # The grid needn't fit into memory, only what it may choose: two methods with two seeds.
    plan = train(tiny, merged, *options, "--dry-run", "--memory", "1K")
    assert "joined" in plan.stdout and "\n4 networks" in plan.stdout
    assert "retraining up to 4 networks at the same time takes" in plan.stderr
    train(tiny, merged, *options)
    check_same_run(tmp_path / "whole", merged)


def test_auto_takes_the_numbers_of_a_job_array(tiny, tmp_path, whole):
    base = tmp_path / "run"
    for task in range(2):
        slurm = {"SLURM_ARRAY_TASK_ID": task + 5, "SLURM_ARRAY_TASK_MIN": 5,
                 "SLURM_ARRAY_TASK_MAX": 6, "SLURM_ARRAY_TASK_COUNT": 2}
        subprocess.run(command(tiny, base, *GRID, "--part", "auto"), check=True,
                       capture_output=True, env={**os.environ, **{k: str(v) for k, v in slurm.items()}})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["run.00000-of-00002", "run.00001-of-00002"]
    run_merge("--run", base, "--out", base)
    check_same_run(whole[0], base)


def test_what_can_not_be_merged_is_named(tiny, tmp_path, parts, whole):
    out = tmp_path / "out"
    a, b, c = parts

    def refused(*runs, target=out):
        return failing(merge("--run", ",".join(str(r) for r in runs), "--out", target), 1)

    message = refused(a, c)
    assert "2 of 3 parts" in message and "missing" in message and message.endswith(" 1")
    message = refused(a, b, b, c)
    assert "both hold part 1 of 3" in message and str(b) in message
    other = tmp_path / "other"
    train(tiny, other, *GRID[:-1], "0,2", "--part", "1/3")
    message = refused(a, other, c)
    assert "options.seed: [0,1]" in message and str(other) in message
    message = refused(whole[0], a)
    assert "parts: 1 in the first, 3 in the second" in message
    assert "whole run already" in refused(whole[0])
    assert "no such run directory" in refused(a, b, tmp_path / "nothing")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no config.json" in refused(a, b, empty)
    assert "holds a run of another configuration" in refused(a, b, c, target=a)

    def damaged(change, checksums=False):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(b, copy)
        change(copy)
        if not checksums:  # which would tell first
            (copy / "checksums.json").unlink()
        return refused(a, copy, c)

    message = damaged(lambda run: (run / "networks.csv").unlink())
    assert "part 1 of 3" in message and "not finished" in message
    assert "config.json" in damaged(lambda run: (run / "config.json").write_text('{"part": 1}'))
    assert "config.json" in damaged(lambda run: (run / "config.json").write_text("{"))
    message = damaged(lambda run: (run / "networks.csv").write_text("network\n1\n"))
    assert "networks.csv" in message and "no column" in message
    table_text = (b / "networks.csv").read_text()
    message = damaged(lambda run: (run / "networks.csv").write_text(table_text.replace("1", "2", 1)), True)
    assert "networks.csv" in message and "not what it was when the run finished" in message
    message = damaged(lambda run: (run / "networks" / "4.safetensors").unlink())
    assert "4.safetensors" in message and "missing" in message
    message = damaged(lambda run: (run / "networks" / "4.safetensors").write_bytes(b"\xff" * 100))
    assert "4.safetensors" in message
    message = damaged(lambda run: shutil.copy(run / "networks" / "22.safetensors",
                                              run / "networks" / "1.safetensors"))
    assert "1.safetensors" in message and "not the network" in message
    message = damaged(lambda run: (run / "metrics.jsonl").write_text('{"epoch": 1}\n'))
    assert "metrics.jsonl:1" in message
    assert not (out / "networks.csv").exists()
    run_merge("--run", ",".join(map(str, parts)), "--out", out)  # nothing stands in the way
    check_same_run(whole[0], out)


def test_more_parts_than_networks_or_another_part_in_a_directory(tiny, tmp_path):
    message = failing(command(tiny, tmp_path / "run", "--part", "0/9"), 2)
    assert "9 parts of a grid of 2 networks" in message
    assert not (tmp_path / "run").exists()
    train(tiny, tmp_path / "run", "--part", "0/2")
    message = failing(command(tiny, tmp_path / "run", "--part", "1/2"), 1)
    assert "part.index: 0 in the earlier run, 1 now" in message
    assert "part.count: 2 in the earlier run, 1 now" in failing(command(tiny, tmp_path / "run"), 1)
    message = failing(command(tiny, tmp_path / "new", "--part", "0/2", "--ensemble", "2"), 2)
    assert "--ensemble" in message and "--part" in message
    for text in ("2/2", "-1/2", "x", "1"):
        assert "--part" in failing(command(tiny, tmp_path / "new", f"--part={text}"), 2)
    assert "--out is missing" in failing(merge("--run", tmp_path / "run"), 2)
    assert "--run is missing" in failing(merge("--out", tmp_path / "run"), 2)
