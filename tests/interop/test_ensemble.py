"""`trainer run --ensemble M`: members, accuracies and files against numpy and PyTorch."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pandas
import pytest
import torch
from safetensors import safe_open

from paths import ROOT, tool
from trainer_runs import command, failing, reference_logits, tensors, train

sys.path.insert(0, str(ROOT / "scripts"))
import last_torch  # noqa: E402

GRID = ["--method", "last,linear", "--learning-rate", "3e-3,1e-2,3e-2", "--seed", "0,1",
        "--pool", "cls,mean-patch", "--epochs", "6", "--ensemble", "5"]


def table_of(run):
    return pandas.read_csv(run / "networks.csv").set_index("network")


def ensembles_of(run):
    table = pandas.read_csv(run / "ensembles.csv", dtype={"members": str})
    table["members"] = [[int(m) for m in members.split(";")] for members in table.members]
    return table


def probabilities(run, network, store):
    """[samples, classes] of an exported network on a store, with the independent version."""
    logits, labels = reference_logits(run / "networks" / f"{network}.safetensors", store)
    return torch.softmax(logits, -1).numpy(), labels


def accuracy(run, members, store):
    given = [probabilities(run, member, store) for member in members]
    mean, labels = np.mean([p for p, _ in given], axis=0), given[0][1]
    return 100 * (mean.argmax(1) == labels).mean()


def greedy(run, networks, store, size):
    """Caruana et al. 2004: with replacement, most right, then the lowest cross-entropy."""
    given = {network: probabilities(run, network, store) for network in networks}
    labels = next(iter(given.values()))[1]
    members, total = [], 0
    for _ in range(size):
        def key(network):
            mean = (total + given[network][0]) / (len(members) + 1)
            loss = -np.log(mean[np.arange(len(labels)), labels]).sum()
            return -(mean.argmax(1) == labels).sum(), loss, network
        members.append(min(given, key=key))
        total = total + given[members[-1]][0]
    return members


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("ensemble") / "run"
    result = train(tiny, path, *GRID)
    assert result.stdout.count("ensemble of 5") == 2  # a line per target
    return path


def test_members_and_accuracies_are_those_of_numpy(tiny, run):
    table, networks = ensembles_of(run), table_of(run)
    assert list(table.columns) == ["target", "size", "members", "val_accuracy", "test_accuracy",
                                   "train_data", "stage"]
    assert list(table.target) == ["corner", "colour"]
    for row in table.itertuples():
        own = networks.index[networks.target == row.target]
        assert (row.size, row.train_data, row.stage) == (5, "train", "search")
        assert row.members == greedy(run, own, tiny["val"], 5)
        assert row.val_accuracy == pytest.approx(accuracy(run, row.members, tiny["val"]), abs=1e-6)
        assert row.test_accuracy == pytest.approx(accuracy(run, row.members, tiny["test"]), abs=1e-6)
        assert row.val_accuracy >= networks.val_accuracy[own].max()  # it starts with the best


def test_the_bundle_holds_the_members(run):
    for row in ensembles_of(run).itertuples():
        path = run / f"ensemble.{row.target}.safetensors"
        with safe_open(path, "pt") as file:
            assert file.metadata()["format"] == "last-ensemble-1"
            about = json.loads(file.metadata()["last"])["networks"]
        assert [member["training"]["network"] for member in about] == row.members
        stored = tensors(path)
        for j, member in enumerate(row.members):
            single = tensors(run / "networks" / f"{member}.safetensors")
            for name, tensor in single.items():
                assert torch.equal(stored[f"networks.{j}.{name}"], tensor)


def test_from_the_run_to_images_and_pytorch(tiny, run, tmp_path):
    """export -> evaluate, evaluate of the whole run, and last_torch give the accuracy of ensembles.csv."""
    images = tiny["weights"].parents[1] / "test.csv"

    def evaluate(networks, out):
        subprocess.run([str(part) for part in (tool("extractor"), "evaluate", "--weights", tiny["weights"],
                                               "--networks", networks, "--images", images, "--out", out,
                                               "--top-k", 2, "--quiet")], check=True, capture_output=True)
        read = {name: pandas.read_csv(out / f"{name}.csv", dtype={"network": str, "class_1": str})
                for name in ("predictions", "summary")}
        return {name: table.set_index("network") for name, table in read.items()}

    whole = evaluate(run, tmp_path / "whole")
    names = [f"ensemble.{target}" for target in ("colour", "corner")]
    assert list(whole["summary"].index) == [str(n) for n in table_of(run).index] + names
    for row in ensembles_of(run).itertuples():
        file = tmp_path / f"{row.target}.safetensors"
        subprocess.run([tool("trainer"), "export", "--run", run, "--network", "ensemble", "--target", row.target,
                        "--out", file, "--quiet"], check=True)
        exported = evaluate(file, tmp_path / row.target)
        cached = pandas.read_csv(run / f"ensemble_predictions.{row.target}.csv", dtype={"prediction": str})
        for found, name in ((exported, row.target), (whole, f"ensemble.{row.target}")):
            rows = found["predictions"].loc[name]
            near = (rows.probability_1 - rows.probability_2 < 1e-4).to_numpy()
            assert near.sum() <= 6 and len(rows) == 60
            assert abs(found["summary"].accuracy[name] - row.test_accuracy) <= 100 * near.sum() / 60 + 1e-9
            assert list(rows.class_1[~near]) == list(cached.prediction[~near])
        model = last_torch.load(file)
        with h5py.File(tiny["test"]) as store, torch.no_grad():
            features = torch.from_numpy(store["features"][:].astype(np.float32))
            labels = store[f"labels/{row.target}"][:]
            logits = model([features[:, layer] for layer in model.layers])
        right = 100 * (logits.argmax(-1).numpy() == labels).mean()
        assert right == pytest.approx(row.test_accuracy, abs=1e-6)


def test_members_are_retrained_with_their_own_settings_and_seeds(tiny, run, tmp_path):
    again = tmp_path / "again"
    result = train(tiny, again, *GRID, "--retrain", "train+val", "--retrain-seeds", "1,7")
    assert "ensemble of 5" in result.stdout
    table, networks = ensembles_of(again), table_of(again)
    search, retrained = table[table.stage == "search"], table[table.stage == "retrain"]
    assert list(search.members) == list(ensembles_of(run).members)
    assert search.test_accuracy.isna().all() and retrained.val_accuracy.isna().all()
    assert set(retrained.train_data) == {"train+val"}
    options = [c for c in networks.columns[:networks.columns.get_loc("epochs")]
               if c not in ("stage",)]
    for before, after in zip(search.itertuples(), retrained.itertuples()):
        assert set(networks.stage[after.members]) == {"retrain"}
        pandas.testing.assert_frame_equal(
            networks.loc[before.members, options].reset_index(drop=True),
            networks.loc[after.members, options].reset_index(drop=True))
        expected = accuracy(again, after.members, tiny["test"])
        assert after.test_accuracy == pytest.approx(expected, abs=1e-6)
        with safe_open(again / f"ensemble.{after.target}.safetensors", "pt") as file:
            about = json.loads(file.metadata()["last"])["networks"]
        assert [member["training"]["network"] for member in about] == after.members
    second = networks[networks.stage == "retrain"]
    assert not second.duplicated(options).any()  # none is trained twice
    assert list(second.index) == list(range(second.index[0], second.index[0] + len(second)))


def test_a_run_that_lost_its_tables_makes_the_same_ones(tiny, run):
    before = {name: (run / name).read_text() for name in ("ensembles.csv", "summary.txt")}
    (run / "networks.csv").unlink()
    (run / "ensembles.csv").unlink()
    train(tiny, run, *GRID)
    assert {name: (run / name).read_text() for name in before} == before


def test_an_ensemble_needs_something_to_choose_on(tiny, tmp_path):
    run = tmp_path / "run"
    assert "--val" in failing(command(tiny, run, "--ensemble", "2", data=("train", "test")), 2)
    message = failing(command(tiny, run, "--ensemble", "2", "--select", "last"), 2)
    assert "--select last" in message
    for size in ("-1", "few", "100000"):
        assert "--ensemble" in failing(command(tiny, run, "--ensemble", size), 2)
    train(tiny, run, "--target", "corner")
    assert not (run / "ensembles.csv").exists()
