"""Bad input to `trainer`: one clear line, the right exit status, and nothing lost."""

import hashlib
import shutil
import subprocess
import time

import pytest

from paths import tool
from trainer_runs import command, failing, train

# Options of `trainer run` that take one value, and one value of each.
SINGLE = {"--epochs": "4,8", "--batch-size": "8,16", "--warmup-epochs": "1,2", "--data-seed": "0,1",
          "--val-fraction": "0.1,0.2", "--threads": "1,2", "--memory": "1G,2G",
          "--time-limit": "1h,2h", "--precision": "fp32,bf16", "--device": "cpu,cuda",
          "--retrain": "none,train+val", "--part": "0/2,1/2", "--ensemble": "2,4",
          "--search": "grid,random:3", "--select": "val,last", "--preset": "quick,vtab",
          "--checkpoint-every": "10s,20s"}


def snapshot(run):
    """The state of a run directory: every file with its contents, but for the views of it that any
    session writes anew."""
    return {path.relative_to(run): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in run.rglob("*")
            if path.is_file() and path.name != "cost.json" and "tensorboard" not in path.parts}


def interrupted(tiny, run, *options):
    """A run that was stopped in its middle."""
    for seconds in (1, 2, 4, 8, 16):  # a slow machine may still be reading after the first
        result = subprocess.run(command(tiny, run, "--epochs", "100000", "--time-limit",
                                        f"{seconds}s", *options),
                                capture_output=True, text=True, check=False)
        assert result.returncode == 4, result.stderr
        if (run / "checkpoints" / "search.safetensors").exists():
            return snapshot(run)
    raise AssertionError("no checkpoint was written")


@pytest.fixture(scope="module")
def stopped_run(tiny, tmp_path_factory):
    run = tmp_path_factory.mktemp("stopped") / "run"
    interrupted(tiny, run)
    return run


@pytest.fixture
def stopped(stopped_run, tmp_path):
    """A run that was stopped in its middle, safe to change."""
    return shutil.copytree(stopped_run, tmp_path / "run")


@pytest.mark.parametrize("option", SINGLE)
def test_a_list_where_none_is_allowed(tiny, tmp_path, option):
    data = ("train",) if option == "--val-fraction" else ("train", "val")
    message = failing(command(tiny, tmp_path / "run", option, SINGLE[option], data=data), 2)
    assert option in message and SINGLE[option] in message
    assert not (tmp_path / "run").exists()


def test_seeds_of_a_retraining_that_is_not_asked_for(tiny, tmp_path):
    message = failing(command(tiny, tmp_path / "run", "--retrain-seeds", "0,1"), 2)
    assert "--retrain-seeds" in message and "--retrain train+val" in message
    assert not (tmp_path / "run").exists()


def test_an_unknown_target_names_the_columns_there_are(tiny, tmp_path):
    run = tmp_path / "run"
    message = failing(command(tiny, run, "--target", "corner,size"), 1)
    assert '"size"' in message and "corner, colour" in message and "train.h5" in message
    assert not run.exists()
    train(tiny, run, "--target", "corner")  # a finished run stays as it is
    before = snapshot(run)
    failing(command(tiny, run, "--target", "size"), 1)
    assert snapshot(run) == before


def test_labels_of_unknown_samples_leave_a_run_alone(tiny, tmp_path):
    run = tmp_path / "run"
    labels = tmp_path / "labels.csv"
    labels.write_text("path,corner\ntrain/000.png,1\ntrain/9.png,2\n")
    before = interrupted(tiny, run, "--target", "corner")
    message = failing(command(tiny, run, "--target", "corner", "--labels", labels,
                              "--epochs", "100000"), 1)
    assert "labels.csv:3:" in message and "train/9.png" in message and "/000.png" in message
    assert snapshot(run) == before


def test_retraining_needs_validation_data(tiny, tmp_path):
    message = failing(command(tiny, tmp_path / "run", "--retrain", "train+val", data=("train",)), 2)
    assert "--val" in message and "--val-fraction" in message
    assert not (tmp_path / "run").exists()


def test_another_configuration_does_not_touch_an_interrupted_run(tiny, stopped):
    before = snapshot(stopped)
    for options, difference in [(["--learning-rate", "1e-2"], "options.learning_rate"),
                                (["--target", "corner"], "data.targets"),
                                (["--part", "0/2"], "part.count")]:
        message = failing(command(tiny, stopped, "--epochs", "100000", *options), 1)
        assert difference in message and "another configuration" in message
        assert snapshot(stopped) == before


def test_a_dry_run_refuses_what_the_run_would(tiny, stopped):
    before = snapshot(stopped)
    message = failing(command(tiny, stopped, "--epochs", "7", "--dry-run"), 1)
    assert "another configuration" in message and "options.epochs" in message
    subprocess.run(command(tiny, stopped, "--epochs", "100000", "--dry-run"), check=True,
                   capture_output=True)
    assert snapshot(stopped) == before


# Without config.json only the checkpoint itself can tell what it is of.
def test_a_checkpoint_of_another_configuration_is_refused(tiny, stopped):
    (stopped / "config.json").unlink()
    message = failing(command(tiny, stopped, "--epochs", "100000", "--learning-rate", "7e-3"), 1)
    assert "search.safetensors" in message and "other options or data" in message
    assert not (stopped / "config.json").exists()
    again = subprocess.run(command(tiny, stopped, "--epochs", "100000", "--time-limit", "1s"),
                           capture_output=True, text=True, check=False)
    assert again.returncode == 4 and "going on after epoch" in again.stderr


@pytest.mark.parametrize("damage", ["cut", "emptied", "overwritten", "tensor"])
def test_a_damaged_checkpoint_is_named_and_kept(tiny, stopped, damage):
    checkpoint = stopped / "checkpoints" / "search.safetensors"
    data = bytearray(checkpoint.read_bytes())
    if damage == "cut":
        del data[len(data) // 2:]
    elif damage == "emptied":
        data.clear()
    elif damage == "overwritten":
        data[:16] = b"\xff" * 16
    else:
        data[-40] ^= 0x55  # a number of the last tensor: only a checksum can tell
    checkpoint.write_bytes(data)
    before = snapshot(stopped)
    message = failing(command(tiny, stopped, "--epochs", "100000"), 1)
    assert "search.safetensors" in message
    assert snapshot(stopped) == before


def test_a_damaged_checkpoint_of_the_retraining_is_named_and_kept(tiny, tmp_path):
    options = ["--target", "corner", "--retrain", "train+val", "--checkpoint-every", "0.01s"]
    for epochs in ("400", "1600", "6400"):  # a fast machine may be done with fewer
        run = tmp_path / epochs
        again = command(tiny, run, "--epochs", epochs, *options)
        checkpoint = run / "checkpoints" / "retrain.safetensors"
        process = subprocess.Popen(again, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not checkpoint.exists():
            time.sleep(0.002)
        process.terminate()
        if process.wait() == 4:
            break
    else:
        raise AssertionError("the retraining was never interrupted")
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:-40] + bytes([whole[-40] ^ 0x55]) + whole[-39:])
    before = snapshot(run)
    assert "retrain.safetensors" in failing(again, 1)
    assert snapshot(run) == before


def test_damaged_files_of_a_run_directory_are_named(tiny, stopped_run, tmp_path):
    for name, contents in [("config.json", b"{"), ("config.json", b"[1]"), ("config.json", b""),
                           ("metrics.jsonl", b"")]:
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(stopped_run, run)
        (run / name).write_bytes(contents)
        before = snapshot(run)
        message = failing(command(tiny, run, "--epochs", "100000"), 1)
        assert name in message
        assert snapshot(run) == before


def test_commands_on_an_empty_or_missing_run_directory(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for run in (empty, tmp_path / "missing"):
        message = failing([tool("trainer"), "merge", "--run", run, "--out", tmp_path / "out"], 1)
        assert str(run) in message
    assert not list(empty.iterdir()) and not (tmp_path / "out").exists()


def test_an_option_that_is_given_twice(tiny, tmp_path):
    message = failing(command(tiny, tmp_path / "run", "--seed", "0", "--seed", "1"), 2)
    assert "--seed" in message and "commas" in message


def test_unknown_commands_and_options_suggest_the_nearest(tiny, tmp_path):
    assert "did you mean merge?" in failing([tool("trainer"), "merg"], 2)
    message = failing(command(tiny, tmp_path / "run", "--learning-rates", "1"), 2)
    assert "did you mean --learning-rate?" in message
