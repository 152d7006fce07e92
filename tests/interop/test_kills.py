"""Both programs, killed at random moments and started again, end with what an uninterrupted run makes.

A few kills by default; LAST_FULL=1 means 50 kills of an extraction and 20 of a training.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import pandas
import pytest
from safetensors import safe_open

from paths import tool
from tiny_stores import draw_images, rows_stored

FULL = os.environ.get("LAST_FULL") == "1"
INTERRUPTED = 4


def timed(arguments):
    start = time.monotonic()
    subprocess.run(arguments, check=True, capture_output=True)
    return time.monotonic() - start


def kill_and_resume(arguments, kills, seconds, check, begin_again, has_progress):
    """Kills `kills` runs of a command, each at a random moment of `seconds`, every second one in its
    later half; the next goes on where that one fell. A run that ends before its moment is checked,
    and its work begun again. At least a third of the kills must leave some progress: the others
    test little."""
    rng = random.Random(0)
    killed = with_progress = attempt = 0
    fresh = True
    # Kills before anything is stored are not what this is about: some more then, within limits.
    while killed < kills or 3 * with_progress < killed and killed < 4 * kills:
        attempt += 1
        start = time.monotonic()
        process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        try:
            _, messages = process.communicate(timeout=rng.uniform(attempt % 2 * seconds / 2, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            _, messages = process.communicate()
        if process.returncode == 0:
            check()
            begin_again()
            if fresh:  # the machine was busier when the time was taken
                seconds = min(seconds, time.monotonic() - start)
            fresh = True
        else:
            assert process.returncode == -signal.SIGKILL, messages.decode()
            killed += 1
            fresh = False
            if has_progress():
                with_progress += 1
            else:  # the machine may be busier than when the time was taken
                seconds *= 1.3
    subprocess.run(arguments, check=True, capture_output=True)
    check()
    print(f"{with_progress} of {killed} kills left some progress")
    assert 3 * with_progress >= killed


# --- extraction ----------------------------------------------------------------------------------


def extraction(tiny, images, cache, *options):
    return [str(a) for a in (
        tool("extractor"), "run", "--weights", tiny["weights"], "--images", images, "--resize", 32,
        "--batch-size", 4, "--views", 8, "--augment", "rrc-flip", "--cache", cache, *options)]


def test_killed_extraction_ends_with_the_same_bytes(tiny, tmp_path):
    images = draw_images(tmp_path, "many", 200, seed=3)
    (tmp_path / "many" / "007.png").write_text("no image")
    whole, cache = tmp_path / "whole.h5", tmp_path / "killed.h5"
    options = ("--allow-bad", 8)
    seconds = timed(extraction(tiny, images, whole, *options))
    kills = 50 if FULL else 6

    def check():
        assert cache.read_bytes() == whole.read_bytes()
        assert (tmp_path / "killed.bad.csv").read_bytes() == (tmp_path / "whole.bad.csv").read_bytes()
        assert not (tmp_path / "killed.h5.partial").exists()

    def begin_again():
        cache.unlink()
        (tmp_path / "killed.bad.csv").unlink()

    kill_and_resume(extraction(tiny, images, cache, *options), kills, seconds, check, begin_again,
                    lambda: rows_stored(tmp_path / "killed.h5.partial") > 0)


# --- training ------------------------------------------------------------------------------------


def training(tiny, run, *options, epochs=60):
    return [str(a) for a in (
        tool("trainer"), "run", "--train", tiny["train"], "--val", tiny["val"], "--test",
        tiny["test"], "--run", run, "--method", "last,linear", "--rank", 4, "--seed", "0,1",
        "--batch-size", 16, "--epochs", epochs, "--warmup-epochs", 2, "--retrain", "train+val",
        "--retrain-seeds", "0", "--checkpoint-every", "0.1s", *options)]


def without_times(text):
    return [{**json.loads(line), "seconds": 0} for line in text.splitlines()]


def same_runs(a, b):
    """Weights, best networks and tables of two run directories are equal, times aside."""
    names = sorted(path.relative_to(a) for path in a.rglob("*.safetensors")
                   if path.parent.name != "checkpoints")
    assert names and names == sorted(path.relative_to(b) for path in b.rglob("*.safetensors")
                                     if path.parent.name != "checkpoints")
    for name in names:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    tables = [pandas.read_csv(run / "networks.csv").drop(columns="seconds") for run in (a, b)]
    pandas.testing.assert_frame_equal(*tables, check_exact=True)
    first, second = (without_times((run / "metrics.jsonl").read_text()) for run in (a, b))
    assert first == second
    tables = sorted(path.name for pattern in ("summary.txt", "*predictions.*.csv", "ensembles.csv")
                    for path in a.glob(pattern))
    assert "summary.txt" in tables and any("predictions." in name for name in tables)
    for name in tables:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


def has_checkpoint(run):
    return any((run / "checkpoints").glob("*.safetensors"))


@pytest.mark.parametrize("options", [[], ["--memory", "1"]], ids=["resident", "streamed"])
def test_killed_training_ends_with_the_same_bits(tiny, tmp_path, options):
    whole, run = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(training(tiny, whole, "--ensemble", 2), check=True, capture_output=True)
    killed = training(tiny, run, "--ensemble", 2, *options)
    seconds = timed(killed)
    same_runs(whole, run)
    shutil.rmtree(run)
    kill_and_resume(killed, 20 if FULL else 4, seconds, lambda: same_runs(whole, run),
                    lambda: shutil.rmtree(run), lambda: has_checkpoint(run))


def test_killed_retraining_of_merged_parts_ends_with_the_same_bits(tiny, tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "killed"
    parts = [tmp_path / f"part{i}" for i in range(2)]
    for i, part in enumerate(parts):
        subprocess.run(training(tiny, part, "--part", f"{i}/2"), check=True, capture_output=True)

    def merge(target):
        subprocess.run([tool("trainer"), "merge", "--run", ",".join(map(str, parts)), "--out", target],
                       check=True, capture_output=True)

    def begin_again():
        shutil.rmtree(run)
        merge(run)

    merge(whole)
    merge(run)
    seconds = timed(training(tiny, whole))
    assert (whole / "checkpoints" / "retrain.safetensors").exists()
    kill_and_resume(training(tiny, run), 10 if FULL else 3, seconds, lambda: same_runs(whole, run),
                    begin_again, lambda: has_checkpoint(run))


def position(run):
    """Epoch and batch of the search's checkpoint."""
    try:
        with safe_open(run / "checkpoints" / "search.safetensors", "pt") as file:
            state = json.loads(file.metadata()["state"])
    except FileNotFoundError:
        return (-1, -1)
    return (state["epoch"], state["batch"])


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_saves_where_it_stands(tiny, tmp_path, sent):
    run = tmp_path / "run"
    arguments = training(tiny, run, epochs=100000)
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               text=True)
    while process.poll() is None and position(run) < (1, 0):
        time.sleep(0.01)
    before = position(run)
    process.send_signal(sent)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == INTERRUPTED, messages
    assert "run the same command again" in messages
    assert position(run) >= before and not (run / "networks.csv").exists()
    epoch, _ = position(run)
    resumed = subprocess.run(arguments + ["--time-limit", "1s"], capture_output=True, text=True,
                             check=False)
    assert f"search: going on after epoch {epoch} of 100000" in resumed.stderr


def test_what_an_unfinished_run_holds_beside_its_checkpoint_is_written_again(tiny, tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    subprocess.run(training(tiny, whole), check=True, capture_output=True)
    shutil.copytree(whole, run)
    # As if it had been killed between search and retraining.
    for path in (run / "networks.csv", run / "summary.txt", *run.glob("best.*"),
                 run / "checkpoints" / "retrain.safetensors"):
        path.unlink()
    for path in (run / "networks").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with (run / "metrics.jsonl").open("a") as log:
        log.write('{"network":')
    subprocess.run(training(tiny, run), check=True, capture_output=True)
    same_runs(whole, run)


def test_a_damaged_checkpoint_is_named(tiny, tmp_path):
    run = tmp_path / "run"
    subprocess.run(training(tiny, run), check=True, capture_output=True)
    (run / "networks.csv").unlink()
    path = run / "checkpoints" / "search.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    result = subprocess.run(training(tiny, run), capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f'"{path}" is damaged: its CRC-32C is' in result.stderr
