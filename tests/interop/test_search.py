"""`trainer run --search ..`: halving leaves survivors as they are and resumes; random draws."""

import json
import random
import re
import signal
import subprocess
import time

import pandas
import pytest

from paths import tool
from trainer_runs import command, failing, same_networks, train

GRID = ["--method", "last,linear", "--learning-rate", "1e-4,3e-4,1e-3,3e-3,1e-2,3e-2", "--seed",
        "0,1", "--rank", "2,4", "--epochs", "10", "--warmup-epochs", "1"]


def table_of(run):
    return pandas.read_csv(run / "networks.csv").set_index("network")


def metrics_of(run):
    """(network, epoch) -> its line, without times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len({(line["network"], line["epoch"]) for line in lines}) == len(lines)
    return {(line["network"], line["epoch"]): {**line, "seconds": 0} for line in lines}


@pytest.fixture(scope="module")
def full(tiny, tmp_path_factory):
    run = tmp_path_factory.mktemp("search") / "full"
    train(tiny, run, *GRID)
    return run


@pytest.fixture(scope="module")
def halved(tiny, tmp_path_factory):
    run = tmp_path_factory.mktemp("search") / "halved"
    train(tiny, run, *GRID, "--search", "halving")
    return run


def test_survivors_equal_the_full_grid_to_the_last_bit(full, halved):
    whole, cut = table_of(full), table_of(halved)
    assert list(whole.index) == list(cut.index)  # a row for every network, stopped or not
    assert set(cut.status) == {"ok", "stopped"}
    survivors = cut.index[cut.status == "ok"]
    pandas.testing.assert_frame_equal(cut.loc[survivors].drop(columns="seconds"),
                                      whole.loc[survivors].drop(columns="seconds"))
    same_networks(full, halved, survivors)
    expected = metrics_of(full)
    for key, line in metrics_of(halved).items():
        if expected[key]["val_accuracy"] is None:  # the rungs are validated besides
            line = {**line, "val_accuracy": None, "val_loss": None}
        assert line == expected[key]


def test_the_worse_settings_stop_at_the_rungs(halved):
    table, metrics = table_of(halved), metrics_of(halved)
    for (method, target), rows in table.groupby(["method", "target"]):
        assert (rows.status == "ok").any(), (method, target)
        settings = rows.groupby(["rank", "learning_rate"], dropna=False)
        assert (settings.status.nunique() == 1).all()  # the seeds of a setting live or die together
        assert (settings.epochs.nunique() == 1).all()
        # Whoever went on after a rung was at least as good then as whoever stopped there.
        for rung in sorted(set(rows.epochs))[:-1]:
            accuracy = {index: metrics[index, rung]["val_accuracy"]
                        for index in rows.index if rows.epochs[index] >= rung}
            there = rows.loc[list(accuracy)].assign(accuracy=pandas.Series(accuracy))
            means = there.groupby(["rank", "learning_rate"], dropna=False).agg(
                accuracy=("accuracy", "mean"), epochs=("epochs", "first"))
            stopped, gone_on = means[means.epochs == rung], means[means.epochs > rung]
            assert len(gone_on) < len(means)
            assert gone_on.accuracy.min() >= stopped.accuracy.max() - 1e-9
        for row in rows[rows.status == "stopped"].itertuples():
            assert (row.Index, row.epochs) in metrics
            assert (row.Index, row.epochs + 1) not in metrics
            assert row.val_accuracy == metrics[row.Index, row.epochs]["val_accuracy"]
            assert pandas.isna(row.test_accuracy)
            assert not (halved / "networks" / f"{row.Index}.safetensors").exists()


def test_time_is_really_saved(full, halved):
    # Networks and epochs, since times on a busy machine say little.
    assert len(metrics_of(halved)) <= 0.4 * len(metrics_of(full))


def test_killed_inside_halving_and_resumed(tiny, halved, tmp_path):
    broken = tmp_path / "broken"
    arguments = command(tiny, broken, *GRID, "--search", "halving")
    rng = random.Random(1)
    metrics = broken / "metrics.jsonl"
    ends = []
    for attempt, epochs in enumerate((1, 2, 4, 5, 7)):
        # Let it come past some epoch, then end it: softly (it saves where it stands) or hard.
        process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            text = metrics.read_text() if metrics.exists() else ""
            if f'"epoch":{epochs},' in text:
                break
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGTERM if attempt % 3 != 2 else signal.SIGKILL)
        # A signal that comes before the program has started in earnest ends it at once.
        ends.append(process.wait())
        assert ends[-1] in (0, 4, -signal.SIGTERM, -signal.SIGKILL)
    assert 4 in ends or -signal.SIGKILL in ends, ends
    train(tiny, broken, *GRID, "--search", "halving")
    pandas.testing.assert_frame_equal(table_of(halved).drop(columns="seconds"),
                                      table_of(broken).drop(columns="seconds"))
    assert metrics_of(halved) == metrics_of(broken)
    survivors = table_of(halved).query("status == 'ok'").index
    same_networks(halved, broken, survivors)


def test_random_draws_settings_of_the_grid(tiny, full, tmp_path):
    run = tmp_path / "run"
    options = GRID + ["--search", "random:3"]
    train(tiny, run, *options)
    drawn, whole = table_of(run), table_of(full)
    counts = drawn.groupby(["method", "target"]).size()
    assert set(counts) == {6} and len(counts) == 4  # 3 settings, 2 seeds
    common = list(drawn.columns.drop("seconds"))
    pandas.testing.assert_frame_equal(drawn[common], whole.loc[drawn.index, common])
    same_networks(full, run, drawn.index)
    assert json.loads((run / "config.json").read_text())["options"]["search"] == "random:3"
    assert "search" in failing(command(tiny, run, *GRID, "--search", "random:4"), 1)
    other = tmp_path / "other"
    train(tiny, other, *options, "--data-seed", "1")
    assert list(table_of(other).index) != list(drawn.index)


def test_search_without_what_it_chooses_on(tiny, tmp_path):
    run = tmp_path / "run"
    message = failing(command(tiny, run, "--search", "halving", data=("train", "test")), 2)
    assert "--val" in message
    assert "grid, random:N, halving" in failing(command(tiny, run, "--search", "bayes"), 2)
    assert "draws nothing" in failing(command(tiny, run, "--search", "random:0"), 2)
    assert not run.exists()


def test_dry_run_counts_the_rungs(tiny, tmp_path):
    run = tmp_path / "run"
    halving = train(tiny, run, *GRID, "--search", "halving", "--dry-run").stdout
    assert "go on" in halving
    assert "go on" not in train(tiny, run, *GRID, "--dry-run").stdout
    assert "24 networks" in train(tiny, run, *GRID, "--search", "random:3", "--dry-run").stdout
    assert not run.exists()


def test_select_last_chooses_nothing(tiny, tmp_path):
    run = tmp_path / "run"
    options = ["--target", "corner", "--learning-rate", "1e-3,1e-2"]
    result = train(tiny, run, *options, "--select", "last")
    assert "nothing is chosen" in result.stdout
    assert "lr 0.001" in result.stdout and "lr 0.01" in result.stdout  # all are reported
    assert not (run / "best.corner.safetensors").exists()
    assert table_of(run).val_accuracy.notna().all()
    single = tmp_path / "single"
    train(tiny, single, "--target", "corner", "--select", "last", data=("train", "test"))
    assert (single / "best.corner.safetensors").exists()
    retrained = tmp_path / "retrained"
    train(tiny, retrained, "--target", "corner", "--select", "last", "--retrain", "train+val",
          "--retrain-seeds", "3")
    assert list(table_of(retrained).stage) == ["search", "retrain"]


@pytest.mark.parametrize("options, data, part", [
    (["--select", "val"], ("train", "test"), "--select val needs --val"),
    (["--select", "best"], ("train", "val"), "neither val nor last"),
    (["--select", "last", "--search", "halving"], ("train", "val"), "drop one"),
    (["--select", "last", "--retrain", "train+val", "--rank", "2,4"], ("train", "val"),
     "none of several settings"),
    (["--preset", "narrow"], ("train", "val"), "quick, vtab, wide"),
])
def test_selections_that_cannot_be_meant(tiny, tmp_path, options, data, part):
    assert part in failing(command(tiny, tmp_path / "run", *options, data=data), 2)
    assert not (tmp_path / "run").exists()


def presets_in_help():
    """name -> (networks, epochs, options), as --help lists them."""
    text = subprocess.run([tool("trainer"), "run", "--help"], capture_output=True, text=True,
                          check=True).stdout
    text = re.sub(r"\s+", " ", text).split(" --search HOW")[0]  # the option after --preset
    found = {}
    for name in ("quick", "vtab", "wide"):
        match = re.search(name + r": [^;]*; (\d+) side networks and (\d+) linear probes per target, (\d+) epochs:"
                          r"((?: --[a-z-]+ [^ ]+)+)", text)
        words = match.group(4).split()
        found[name] = (int(match.group(1)) + int(match.group(2)), int(match.group(3)),
                       dict(zip((w.lstrip("-") for w in words[::2]), words[1::2])))
    return found


@pytest.mark.parametrize("name", ["quick", "vtab", "wide"])
def test_presets_are_what_help_says(tiny, tmp_path, name):
    networks, epochs, options = presets_in_help()[name]
    stores = ["--train", tiny["train"], "--val", tiny["val"], "--target", "corner"]
    listed = [part for option, value in options.items() for part in (f"--{option}", value)]
    runs = {}
    for kind, arguments in (("preset", ["--preset", name]), ("explicit", listed)):
        config = tmp_path / kind / "config.json"
        process = subprocess.Popen([tool("trainer"), "run", "--run", config.parent, *stores,
                                    *arguments], stderr=subprocess.DEVNULL)
        while not config.exists() and process.poll() is None:  # then it has said what it trains
            time.sleep(0.01)
        process.terminate()
        assert process.wait() in (0, 4, -signal.SIGTERM)
        runs[kind] = json.loads(config.read_text())
    assert runs["preset"]["options"] == runs["explicit"]["options"]
    assert runs["preset"]["preset"] == name and runs["explicit"]["preset"] == ""
    assert runs["preset"]["options"]["epochs"] == epochs
    plan = subprocess.run([tool("trainer"), "run", "--run", tmp_path / "plan", *stores, "--preset",
                           name, "--dry-run"], capture_output=True, text=True, check=True).stdout
    assert plan.startswith(f"{networks} networks, {epochs} epochs")


def test_options_override_the_preset_and_the_preset_defaults(tiny, tmp_path):
    run = tmp_path / "run"
    result = train(tiny, run, "--preset", "quick", "--pool", "mean-all", "--target", "corner")
    table = table_of(run)
    networks, _, options = presets_in_help()["quick"]
    assert set(table.pool) == {"mean-all"} and set(table.epochs) == {4}
    assert len(table) == networks // len(options["pool"].split(","))
    assert set(table.method) == {"last", "linear"}
    assert set(table.learning_rate) == {float(v) for v in options["learning-rate"].split(",")}
    assert "corner" in result.stdout
