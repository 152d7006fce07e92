"""A run's result table against an independent script (scripts/check_run.py), and that it finds differences."""

import shutil
import subprocess

import pandas
import pytest

from paths import tool
from script_runs import run_script
from trainer_runs import description, train

GRID = ["--method", "last,linear", "--learning-rate", "3e-3,1e-2,3e-2", "--seed", "0,1", "--epochs", "4"]


def check(run, status=0):
    result = run_script("check_run.py", run)
    assert result.returncode == status, result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """Two targets, two methods; seed 0 of a chosen setting is retrained for the ensemble only."""
    path = tmp_path_factory.mktemp("check") / "run"
    train(tiny, path, *GRID, "--retrain", "train+val", "--retrain-seeds", "1,7", "--ensemble", "4")
    return path


def test_the_table_is_what_the_predictions_give(run):
    # Per target two seeds each of two methods and the ensemble; four cells of three lines, their number.
    lines = check(run).stdout.splitlines()
    assert len(lines) == 7 and lines[-1].endswith("numbers and choices compared, 0 differ")
    assert int(lines[-1].split()[0]) >= 2 * (5 + 2 * 6 + 2 + 2)
    predictions = pandas.read_csv(run / "predictions.corner.csv")
    networks = pandas.read_csv(run / "networks.csv").set_index("network")
    assert predictions.network.dtype.kind == "i" and predictions.network.nunique() == 4
    assert set(networks.stage[predictions.network.unique()]) == {"retrain"}


@pytest.mark.parametrize("options", [
    dict(data=("train", "val", "test")), dict(data=("train", "val")), dict(data=("train", "val"), retrain=True)])
def test_other_runs(tiny, tmp_path, options):
    again = ["--retrain", "train+val", "--retrain-seeds", "1"] if options.get("retrain") else []
    run = tmp_path / "run"
    train(tiny, run, *GRID, "--ensemble", "3", *again, data=options["data"])
    check(run)
    said = pandas.read_csv(run / "predictions.colour.csv")
    assert set(said.data) == {"test" if "test" in options["data"] else "val"}


def test_halving_with_retraining_and_an_ensemble(tiny, tmp_path):
    run = tmp_path / "run"
    train(tiny, run, "--method", "last,linear", "--learning-rate", "1e-3,3e-3,1e-2,3e-2", "--epochs", "8", "--search",
          "halving", "--retrain", "train+val", "--retrain-seeds", "0,1", "--ensemble", "3", "--target", "corner")
    assert (pandas.read_csv(run / "networks.csv").status == "stopped").any()
    text = check(run).stdout
    assert "corner, last: val, of 4; " in text and "corner, ensemble: test" in text


def test_a_directory_without_a_run_is_named(tmp_path):
    message = check(tmp_path, status=1).stderr
    assert str(tmp_path / "networks.csv") in message and "Traceback" not in message


def test_the_report_shows_the_same_table(run):
    """Networks that were retrained for the ensemble alone count as nobody's seeds."""
    result = subprocess.run([str(tool("trainer")), "report", "--run", str(run)], capture_output=True, text=True, check=True)
    networks = pandas.read_csv(run / "networks.csv")
    retrained = networks[networks.stage == "retrain"]
    settings = list(networks.columns[2:networks.columns.get_loc("seed")])
    assert (retrained.groupby(settings, dropna=False).seed.nunique() > 2).any()  # there are such networks
    chosen = result.stdout.split("Chosen settings:\n")[1].split("\n\n")[0].splitlines()
    assert sorted(chosen) == sorted((run / "summary.txt").read_text().splitlines()[1:])


@pytest.mark.parametrize("name", ["best", "ensemble"])
def test_files_of_other_networks_are_named(run, tmp_path, name):
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("networks", "checkpoints", "tensorboard"))
    shutil.copyfile(run / "networks/0.safetensors", copy / f"{name}.corner.safetensors")  # of the search
    message = check(copy, status=1).stderr
    assert f"{name}.corner.safetensors: networks: [0] in the run" in message and len(message.splitlines()) == 1


def test_ties_are_decided_by_the_loss(run, tmp_path):
    table = pandas.read_csv(run / "networks.csv")
    settings = list(table.columns[2:table.columns.get_loc("seed")])
    held = description(run / "best.corner.safetensors")["training"]["network"]
    chosen = (table[settings].fillna("") == table[settings].fillna("").loc[held]).all(axis=1)
    searched = table.stage == "search"
    for loss, right in ((0.5, True), (2.0, False)):
        copy = tmp_path / str(loss)
        shutil.copytree(run, copy, ignore=shutil.ignore_patterns("networks", "checkpoints", "tensorboard"))
        changed = table.copy()
        changed.loc[searched, ["val_accuracy", "val_loss"]] = [50.0, 1.0]
        changed.loc[searched & chosen, "val_loss"] = loss
        changed.to_csv(copy / "networks.csv", index=False)
        assert ("best.corner" not in check(copy, status=1).stderr) == right


@pytest.mark.parametrize("name, change, message", [
    ("predictions.corner.csv", lambda t: t.replace("\n", "\nmore.png,0,{network},1,0.9,0.1,test\n", 1), "on test"),
    ("ensemble_predictions.colour.csv", lambda t: t.replace("\n", "\nmore.png,red,ensemble,blue,0.9,0.1,test\n", 1),
     "colour: ensemble on test"),
    ("summary.txt", lambda t: t.replace("val, of 3", "val, of 4"), "chosen by"),
    ("summary.txt", lambda t: t.replace(" +- ", " +- 1"), "test %"),
    ("networks.csv", lambda t: t.replace(",ok,", ",diverged,", 1), "differ"),
])
def test_what_differs_is_named(run, tmp_path, name, change, message):
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("networks", "checkpoints", "tensorboard"))
    networks = pandas.read_csv(run / "predictions.corner.csv").network
    text = (copy / name).read_text()
    changed = change(text).replace("{network}", str(networks[0]))
    assert changed != text
    (copy / name).write_text(changed)
    result = check(copy, status=1)
    assert message in result.stderr + result.stdout
