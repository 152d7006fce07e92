"""`extractor evaluate` from outside: its numbers against cached evaluation, PyTorch on top of timm, and a
recomputation from its own predictions; bad input and interrupts."""

import json
import os
import pathlib
import signal
import subprocess
import time

import h5py
import numpy as np
import pandas
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from checked_file import save_checked
from paths import tool
from process_memory import peaks_of
from tiny_stores import TINY, make_tiny_vit
from trainer_runs import description, reference_logits, tensors

MARGIN = 1e-4  # predictions with a smaller one may depend on rounding


def evaluate_command(tiny, networks, images, out, *options):
    return [str(part) for part in (tool("extractor"), "evaluate", "--weights", tiny["weights"], "--networks",
                                   networks, "--images", images, "--out", out, *options)]


def evaluate(tiny, networks, images, out, *options, status=0):
    result = subprocess.run(evaluate_command(tiny, networks, images, out, *options), capture_output=True,
                            text=True)
    assert result.returncode == status, result.stderr
    return result


def refused(tiny, networks, images, out, *options, status=1):
    result = evaluate(tiny, networks, images, out, *options, status=status)
    lines = [line for line in result.stderr.splitlines() if line.startswith("extractor: error: ")]
    assert len(lines) == 1, result.stderr
    assert results(out) == [], "something was left behind"
    return lines[0]


def results(out):
    """The names of what lies there, but for the lock."""
    return sorted(path.name for path in pathlib.Path(out).glob("*") if path.name != ".lock")


def save_bundle(path, members):
    """An ensemble of network files, written by hand as common/last/bundle.h describes it."""
    stored = {f"networks.{j}.{name}": value for j, member in enumerate(members)
              for name, value in tensors(member).items()}
    about = {"networks": [description(member) for member in members]}
    save_checked(stored, path, {"format": "last-ensemble-1", "last": json.dumps(about)})
    return path


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """{"run": a run directory with networks of several shapes, "images": the list of its test set}"""
    folder = tmp_path_factory.mktemp("evaluate")
    run = folder / "run"
    subprocess.run([tool("trainer"), "run", "--train", tiny["train"], "--test", tiny["test"], "--run", run,
                    "--method", "last,linear", "--rank", "4", "--heads", "1,2", "--gap", "1,2", "--pool",
                    "mean-patch,cls", "--norm", "frozen,trainable", "--learning-rate", "1e-2", "--epochs", "3",
                    "--warmup-epochs", "1", "--batch-size", "16", "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)
    images = tiny["weights"].parents[1] / "test.csv"
    return {"run": run, "images": images, "table": pandas.read_csv(run / "networks.csv")}


@pytest.fixture(scope="module")
def evaluated(tiny, trained, tmp_path_factory):
    """The whole run and an ensemble, evaluated once."""
    folder = tmp_path_factory.mktemp("evaluated")
    corner = [trained["run"] / "networks" / f"{i}.safetensors"
              for i in trained["table"][trained["table"].target == "corner"].network[:3]]
    ensemble = save_bundle(folder / "ensemble.corner.safetensors", [corner[0], corner[1], corner[0], corner[2]])
    result = evaluate(tiny, f"{trained['run']},{ensemble}", trained["images"], folder / "out", "--top-k", 3)
    tables = {name: pandas.read_csv(folder / "out" / f"{name}.csv", dtype={"network": str, "label": str})
              for name in ("predictions", "summary", "confusion")}
    return {"out": folder / "out", "result": result, "members": corner, **tables}


def test_accuracies_are_those_of_cached_evaluation(trained, evaluated):
    table, summary = trained["table"], evaluated["summary"].set_index("network")
    assert len(summary) == len(table) + 1 and len(table) >= 16
    predictions = evaluated["predictions"].set_index("network")
    for row in table.itertuples():
        rows = predictions.loc[str(row.network)]
        near = (rows.probability_1 - rows.probability_2 < MARGIN).sum()
        assert summary.loc[str(row.network)].target == row.target
        assert abs(summary.loc[str(row.network)].accuracy - row.test_accuracy) <= 100 * near / 60 + 1e-9
    assert summary.images.eq(60).all()
    assert "images/s" in evaluated["result"].stdout
    assert results(evaluated["out"]) == ["confusion.csv", "predictions.csv", "summary.csv"]


def test_predictions_are_those_on_the_store(tiny, trained, evaluated):
    for row in trained["table"].itertuples():
        logits, labels = reference_logits(trained["run"] / "networks" / f"{row.network}.safetensors", tiny["test"])
        expected = torch.softmax(logits, 1).numpy()
        about = description(trained["run"] / "networks" / f"{row.network}.safetensors")
        names = about["class_names"] or [str(i) for i in range(expected.shape[1])]
        rows = evaluated["predictions"][evaluated["predictions"].network == str(row.network)]
        assert [names[label] for label in labels] == list(rows.label)
        for p, found in zip(expected, rows.itertuples()):
            order = np.argsort(-p, kind="stable")
            for i in range(min(3, len(order))):
                probability = getattr(found, f"probability_{i + 1}")
                assert abs(probability - p[order[i]]) < 1e-4
                neighbours = [p[order[j]] for j in (i - 1, i + 1) if 0 <= j < len(order)]
                if all(abs(p[order[i]] - q) > MARGIN for q in neighbours):
                    assert str(getattr(found, f"class_{i + 1}")) == names[order[i]]


def test_an_ensemble_is_the_mean_of_its_members(tiny, evaluated):
    mean = sum(torch.softmax(reference_logits(evaluated["members"][j], tiny["test"])[0], 1)
               for j in (0, 1, 0, 2)).numpy() / 4
    rows = evaluated["predictions"][evaluated["predictions"].network == "ensemble.corner"]
    assert len(rows) == 60
    top = np.sort(mean, axis=1)[:, ::-1]
    for i in range(3):
        assert np.abs(top[:, i] - rows[f"probability_{i + 1}"].to_numpy()).max() < 1e-4


def test_summary_and_confusion_follow_from_the_predictions(evaluated):
    confusion = evaluated["confusion"]
    for (network, target), rows in evaluated["predictions"].groupby(["network", "target"]):
        label, prediction = rows.label.astype(str), rows.class_1.astype(str)
        hit = label == prediction
        summary = evaluated["summary"][evaluated["summary"].network == network].iloc[0]
        assert summary.accuracy == pytest.approx(100 * hit.mean(), abs=1e-9)
        assert summary.mean_class_accuracy == pytest.approx(100 * hit.groupby(label).mean().mean(), abs=1e-9)
        counts = confusion[(confusion.network == network) & (confusion.target == target)]
        found = {(str(a), str(b)): n for a, b, n in zip(counts.label, counts.prediction, counts["count"])}
        assert found == rows.groupby([label, prediction]).size().to_dict()


def test_logits_are_those_of_pytorch_on_top_of_timm(tiny, trained, evaluated, tmp_path):
    """Without extractor and store: PIL, timm, rounding to fp16, the independent side network."""
    model = timm.models.vision_transformer.VisionTransformer(**TINY)
    model.load_state_dict(load_file(tiny["weights"]))
    model.eval()
    maps = []
    model.blocks[0].register_forward_pre_hook(lambda module, inputs: maps.append(inputs[0]))
    for block in model.blocks:
        block.register_forward_hook(lambda module, inputs, output: maps.append(output))
    table = pandas.read_csv(trained["images"])
    pixels = [np.asarray(Image.open(trained["images"].parent / path).convert("RGB").resize(
        (32, 32), Image.Resampling.BICUBIC)) for path in table.path]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        model((images / 255 - 0.5) / 0.5)
    with h5py.File(tmp_path / "timm.h5", "w") as store:
        store["features"] = torch.stack(maps, 1).half().numpy()
        store["labels/corner"] = store["labels/colour"] = np.zeros(len(table), np.int32)
    for network in trained["table"].network[::5]:
        logits, _ = reference_logits(trained["run"] / "networks" / f"{network}.safetensors", tmp_path / "timm.h5")
        expected = torch.softmax(logits, 1).numpy()
        path = trained["run"] / "networks" / f"{network}.safetensors"
        names = description(path)["class_names"] or [str(i) for i in range(expected.shape[1])]
        rows = evaluated["predictions"][evaluated["predictions"].network == str(network)]
        assert len(rows) == len(expected)
        for p, row in zip(expected, rows.itertuples()):
            found = {str(getattr(row, f"class_{i}")): getattr(row, f"probability_{i}") for i in (1, 2, 3)}
            assert len(found) == 3
            for name, probability in found.items():
                # a feature may be rounded the other way: one step of fp16 in single elements
                assert abs(probability - p[names.index(name)]) < 2e-3


def test_unlabelled_images_and_other_batches(tiny, trained, evaluated, tmp_path):
    folder = trained["images"].parent
    paths = pandas.read_csv(trained["images"]).path
    (tmp_path / "list.txt").write_text("".join(f"{folder / path}\n" for path in paths))
    network = trained["run"] / "networks/0.safetensors"
    evaluate(tiny, network, tmp_path / "list.txt", tmp_path / "out", "--batch-size", 7, "--top-k", 9)
    found = pandas.read_csv(tmp_path / "out/predictions.csv")
    expected = evaluated["predictions"][evaluated["predictions"].network == "0"].reset_index()
    assert found.label.isna().all() and (found.network == 0).all()
    assert np.abs(found.probability_1 - expected.probability_1).max() < 1e-4
    assert list(found.class_1.astype(str)) == list(expected.class_1.astype(str))
    assert found.columns[-1] == "probability_9" and found.class_9.isna().all()  # four classes only
    summary = pandas.read_csv(tmp_path / "out/summary.csv")
    assert summary.images[0] == 60 and summary.accuracy.isna().all() and summary.mean_class_accuracy.isna().all()
    assert (tmp_path / "out/confusion.csv").read_text() == "network,target,label,prediction,count\n"


def test_classes_are_matched_by_name(tiny, trained, tmp_path):
    """Another list has other classes, so that a name has another number in it."""
    folder = trained["images"].parent
    table = pandas.read_csv(trained["images"])
    table["path"] = [str(folder / path) for path in table.path]
    colour = next(row.network for row in trained["table"].itertuples() if row.target == "colour")
    network = trained["run"] / f"networks/{colour}.safetensors"
    evaluate(tiny, network, trained["images"], tmp_path / "all")
    all_rows = pandas.read_csv(tmp_path / "all/predictions.csv")
    kept = table[table.colour != "blue"].copy()  # blue is class 0 of three
    kept.iloc[0, kept.columns.get_loc("colour")] = "azure"  # a class that the network does not know
    kept.to_csv(tmp_path / "list.csv", index=False)
    result = evaluate(tiny, network, tmp_path / "list.csv", tmp_path / "some")
    assert "azure" in result.stderr and "count as wrong" in result.stderr
    rows = pandas.read_csv(tmp_path / "some/predictions.csv")
    assert list(rows.label) == list(kept.colour)
    assert list(rows.class_1) == list(all_rows[table.colour != "blue"].class_1)
    summary = pandas.read_csv(tmp_path / "some/summary.csv").iloc[0]
    assert summary.accuracy == pytest.approx(100 * (rows.label == rows.class_1).mean(), abs=1e-9)

    kept["colour"] = ["x", "y"] * (len(kept) // 2) + ["x"] * (len(kept) % 2)
    kept.to_csv(tmp_path / "list.csv", index=False)
    assert "none of the 2 classes" in refused(tiny, network, tmp_path / "list.csv", tmp_path / "none")


def test_bad_images(tiny, trained, tmp_path):
    folder = trained["images"].parent
    good = [folder / "test/000.png", folder / "test/001.png"]
    (tmp_path / "bad.png").write_bytes(good[0].read_bytes()[:200])
    (tmp_path / "list.txt").write_text(f"{good[0]}\n{tmp_path / 'bad.png'}\nmissing.png\n{good[1]}\n")
    network = trained["run"] / "networks/0.safetensors"
    evaluate(tiny, network, tmp_path / "list.txt", tmp_path / "a", status=3)
    assert list(pandas.read_csv(tmp_path / "a/bad.csv").path) == [str(tmp_path / "bad.png"), "missing.png"]
    assert list(pandas.read_csv(tmp_path / "a/predictions.csv").path) == [str(path) for path in good]
    evaluate(tiny, network, tmp_path / "list.txt", tmp_path / "b", "--allow-bad", 2)
    (tmp_path / "list.txt").write_text("missing.png\n")
    assert "missing.png" in refused(tiny, network, tmp_path / "list.txt", tmp_path / "c")


def test_bad_input_is_refused_with_the_difference(tiny, trained, tmp_path):
    network = trained["run"] / "networks/0.safetensors"
    images, out = trained["images"], tmp_path / "out"
    other = {"weights": make_tiny_vit(tmp_path / "other", seed=5)}
    assert "weights_sha256" in refused(other, network, images, out)
    assert "resize: [32,32] in the networks, [48,48] now" in refused(tiny, network, images, out, "--resize", 48)
    assert "mean" in refused(tiny, network, images, out, "--mean", "0.4,0.5,0.5")
    evaluate(tiny, network, images, tmp_path / "same", "--resize", "32x32", "--mean", "0.5,0.5,0.5")
    assert "named twice" in refused(tiny, f"{network},{network}", images, out, status=2)
    (tmp_path / "empty").mkdir()
    assert "holds no networks" in refused(tiny, tmp_path / "empty", images, out)
    (tmp_path / "empty/networks").mkdir()
    assert "holds no networks" in refused(tiny, tmp_path / "empty", images, out)
    assert "is no network of trainer (it has no checksum" in refused(tiny, tiny["weights"], images, out)
    assert "this is a side network: it goes to --networks" in refused({"weights": network}, network, images, out)
    save_checked(tensors(network), tmp_path / "foreign.safetensors", {"format": "other-1"})
    assert "no side network" in refused(tiny, tmp_path / "foreign.safetensors", images, out)
    for option in ("--networks", "--images", "--out", "--weights"):
        parts = evaluate_command(tiny, network, images, out)
        at = parts.index(option)
        result = subprocess.run(parts[:at] + parts[at + 2:], capture_output=True, text=True)
        assert result.returncode == 2 and option in result.stderr
    assert "--top-k" in refused(tiny, network, images, out, "--top-k", 0, status=2)
    evaluate(tiny, network, images, tmp_path / "twice")
    before = (tmp_path / "twice/predictions.csv").read_bytes()
    assert "earlier evaluation" in evaluate(tiny, network, images, tmp_path / "twice", status=1).stderr
    assert (tmp_path / "twice/predictions.csv").read_bytes() == before

    changed = tmp_path / "changed.safetensors"
    about = description(network)
    about["features"]["preprocessing"]["crop"] = "center:40"
    save_checked(tensors(network), changed, {"format": "last-network-1", "last": json.dumps(about)})
    assert "preprocessing.crop" in refused(tiny, f"{network},{changed}", images, out)
    del about["features"]["preprocessing"]["std"]
    save_checked(tensors(network), changed, {"format": "last-network-1", "last": json.dumps(about)})
    assert "std" in refused(tiny, changed, images, out)


def test_networks_of_two_runs_are_told_apart(tiny, trained, tmp_path):
    second = tmp_path / "second/networks"
    second.mkdir(parents=True)
    (second / "0.safetensors").write_bytes((trained["run"] / "networks/1.safetensors").read_bytes())
    evaluate(tiny, f"{second.parent},{trained['run']}", trained["images"], tmp_path / "out")
    names = list(pandas.read_csv(tmp_path / "out/summary.csv", dtype=str).network)
    assert names[:3] == [f"{second.parent}/0", f"{trained['run']}/0", "1"]


def start_long(tiny, trained, folder):
    """An evaluation of 4000 images into folder/out, which has begun to write."""
    source = trained["images"].parent
    (folder / "list.txt").write_text("".join(f"{folder / f'{i}.png'}\n" for i in range(4000)))
    for i in range(4000):
        (folder / f"{i}.png").symlink_to(source / f"test/{i % 60:03}.png")
    process = subprocess.Popen(evaluate_command(tiny, trained["run"], folder / "list.txt", folder / "out",
                                                "--batch-size", 2), stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (folder / "out/predictions.csv.partial").exists():
        time.sleep(0.01)
    return process


def test_a_second_evaluation_into_the_same_folder(tiny, trained, tmp_path):
    first = start_long(tiny, trained, tmp_path)
    first.send_signal(signal.SIGSTOP)
    os.waitpid(first.pid, os.WUNTRACED)
    before = results(tmp_path / "out")
    second = evaluate(tiny, trained["run"] / "networks/0.safetensors", trained["images"], tmp_path / "out", status=1)
    assert "out/.lock" in second.stderr and "another process is writing there" in second.stderr
    assert results(tmp_path / "out") == before
    first.send_signal(signal.SIGCONT)
    first.send_signal(signal.SIGINT)
    message = first.communicate()[1]
    assert first.returncode == 4, message


def test_an_interrupt_leaves_nothing(tiny, trained, tmp_path):
    process = start_long(tiny, trained, tmp_path)
    process.send_signal(signal.SIGINT)
    message = process.communicate()[1]
    assert process.returncode == 4, message
    assert results(tmp_path / "out") == []


def test_memory_does_not_grow_with_the_number_of_images(tiny, trained, tmp_path):
    folder = trained["images"].parent
    peaks = []
    for count in (200, 3000):
        directory = tmp_path / str(count)
        directory.mkdir()
        lines = []
        for i in range(count):
            (directory / f"{i}.png").symlink_to(folder / f"test/{i % 60:03}.png")
            lines.append(f"{i}.png {i % 4}\n")
        (directory / "list.txt").write_text("".join(lines))
        command = evaluate_command(tiny, trained["run"], directory / "list.txt", tmp_path / f"out{count}")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        peaks.append(peaks_of(process)["RssAnon"])
        assert process.returncode == 0
    size = (tmp_path / "out3000/predictions.csv").stat().st_size
    assert size > 8 << 20  # far more than what may be added
    assert peaks[1] - peaks[0] < 6 << 20, peaks

