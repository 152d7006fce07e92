"""`trainer run` from outside: its files, its numbers against PyTorch and h5py, resuming, bad input."""

import json
import os
import re
import shutil
import subprocess

import h5py
import numpy as np
import pandas
import pytest
import torch

from paths import tool
from tiny_stores import draw_images, extract, make_tiny_vit
from trainer_runs import (COLUMNS, command, description, failing, reference_logits, same_networks,
                          tensors, train)


def test_run_writes_the_contracts_files(tiny, tmp_path):
    run = tmp_path / "run"
    result = train(tiny, run, "--method", "last,linear", "--learning-rate", "1e-3,1e-2",
                   "--seed", "0,1")
    table = pandas.read_csv(run / "networks.csv")
    assert list(table.columns)[:len(COLUMNS)] == COLUMNS
    assert list(table.network) == list(range(16))  # 2 methods x 2 targets x 2 rates x 2 seeds
    assert set(table.status) == {"ok"} and set(table.stage) == {"search"}
    assert table[table.method == "linear"]["rank"].isna().all()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 16 * 4
    assert [line["epoch"] for line in lines if line["network"] == 5] == [1, 2, 3, 4]
    assert set(lines[0]) == {"network", "epoch", "learning_rate", "train_loss", "train_accuracy",
                             "val_accuracy", "val_loss", "seconds"}
    last = {line["network"]: line for line in lines if line["epoch"] == 4}
    for row in table.itertuples():
        assert last[row.network]["val_accuracy"] == pytest.approx(row.val_accuracy)
        assert last[row.network]["val_loss"] == pytest.approx(row.val_loss)
        assert last[row.network]["train_loss"] == pytest.approx(row.train_loss)
        assert (run / "networks" / f"{row.network}.safetensors").exists()
    config = json.loads((run / "config.json").read_text())
    assert config["options"]["learning_rate"] == [0.001, 0.01]
    assert "corner" in result.stdout and "colour" in result.stdout
    # best per target: the setting with the highest mean over its seeds, its lowest seed exported
    for target in ("corner", "colour"):
        rows = table[table.target == target]
        means = rows.groupby(["method", "learning_rate"]).val_accuracy.mean()
        training = description(run / f"best.{target}.safetensors")["training"]
        chosen = rows[rows.network == training["network"]].iloc[0]
        assert means[(chosen.method, chosen.learning_rate)] == means.max()
        assert chosen.seed == 0


@pytest.mark.parametrize("options", [
    ["--heads", "2", "--variant", "c", "--modules", "2", "--biases", "on"],
    ["--gap", "2", "--variant", "b", "--pool", "cls", "--norm", "trainable"],
    ["--bias-correction", "off", "--norm", "none"],
    ["--method", "linear", "--pool", "cls"],
])
def test_accuracies_are_those_of_pytorch(tiny, tmp_path, options):
    run = tmp_path / "run"
    train(tiny, run, "--learning-rate", "1e-2", *options)
    table = pandas.read_csv(run / "networks.csv")
    for row in table.itertuples():
        path = run / "networks" / f"{row.network}.safetensors"
        for split, accuracy in (("val", row.val_accuracy), ("test", row.test_accuracy)):
            logits, labels = reference_logits(path, tiny[split])
            if row.target == "colour":  # names are numbered over all stores: the same three here
                assert description(path)["class_names"] == ["blue", "green", "red"]
            expected = 100 * (logits.argmax(1).numpy() == labels).mean()
            assert accuracy == pytest.approx(expected, abs=1e-6)
            if split == "val":
                loss = torch.nn.functional.cross_entropy(logits, torch.as_tensor(labels).long())
                assert row.val_loss == pytest.approx(float(loss), rel=1e-5)
    assert table.test_accuracy.notna().all()


def test_a_network_does_not_depend_on_the_others_threads_or_memory(tiny, tmp_path):
    full, alone, streamed = (tmp_path / name for name in ("full", "alone", "streamed"))
    train(tiny, full, "--seed", "3,5", "--weight-decay", "0.05,1", "--target", "corner")
    train(tiny, alone, "--seed", "5", "--weight-decay", "1", "--target", "corner", "--threads", "1")
    train(tiny, streamed, "--seed", "3,5", "--weight-decay", "0.05,1", "--target", "corner",
          "--memory", "1")
    same_networks(full, streamed, range(4))
    first = tensors(full / "networks" / "3.safetensors")
    second = tensors(alone / "networks" / "0.safetensors")
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_an_interrupted_run_says_how_to_go_on(tiny, tmp_path):
    run = tmp_path / "run"
    long = command(tiny, run, "--epochs", "100000", "--time-limit", "2s")
    result = subprocess.run(long, capture_output=True, text=True, check=False)
    assert result.returncode == 4
    assert "run the same command again" in result.stderr
    assert not (run / "networks.csv").exists()


@pytest.mark.parametrize("rank", ["4", "16"])  # with bf16 products two kinds of kernels
def test_a_diverging_network_disturbs_nobody(tiny, tmp_path, rank):
    both, alone = tmp_path / "both", tmp_path / "alone"
    shared = ("--rank", rank, "--target", "corner")
    train(tiny, both, "--learning-rate", "1e-3,1e38", "--method", "last", *shared)
    train(tiny, alone, "--learning-rate", "1e-3", *shared)
    table = pandas.read_csv(both / "networks.csv")
    assert list(table.status) == ["ok", "diverged"]
    assert np.isnan(table.test_accuracy[1])
    same_networks(both, alone, [0])
    assert not (both / "networks" / "1.safetensors").exists()


def test_retraining_trains_the_winner_on_train_and_val(tiny, tmp_path):
    run = tmp_path / "run"
    train(tiny, run, "--method", "last,linear", "--learning-rate", "1e-3,1e-2", "--target",
          "corner", "--retrain", "train+val", "--retrain-seeds", "4,5")
    table = pandas.read_csv(run / "networks.csv")
    search, retrained = table[table.stage == "search"], table[table.stage == "retrain"]
    assert search.test_accuracy.isna().all() and retrained.test_accuracy.notna().all()
    assert retrained.val_accuracy.isna().all()
    assert list(retrained.network) == [4, 5, 6, 7]
    assert set(retrained.train_data) == {"train+val"} and list(retrained.seed) == [4, 5, 4, 5]
    for method in ("last", "linear"):
        best = search[search.method == method].sort_values("val_accuracy").iloc[-1]
        rates = retrained[retrained.method == method].learning_rate
        assert set(rates) <= set(search[(search.method == method)
                                        & (search.val_accuracy == best.val_accuracy)].learning_rate)


def test_val_fraction_splits_the_training_store(tiny, tmp_path):
    run = tmp_path / "run"
    result = train(tiny, run, "--val-fraction", "0.25", "--target", "corner",
                   data=("train", "test"))
    assert "into 72 for training and 24 for validation" in result.stderr
    assert pandas.read_csv(run / "networks.csv").val_accuracy.notna().all()
    split = pandas.read_csv(run / "split.csv")
    with h5py.File(tiny["train"]) as store:
        assert list(split.path) == [name.decode() for name in store["sample_id"][:]]
    assert split.part.value_counts().to_dict() == {"train": 72, "val": 24}
    # What val images are said to be is what networks are validated on.
    predicted = pandas.read_csv(run / "predictions.corner.csv")
    assert set(predicted.data) == {"test"}
    again = tmp_path / "again"
    train(tiny, again, "--val-fraction", "0.25", "--target", "corner", data=("train",))
    predicted = pandas.read_csv(again / "predictions.corner.csv")
    assert set(predicted.data) == {"val"}
    assert list(predicted.path) == list(split.path[split.part == "val"])
    assert (again / "split.csv").read_bytes() == (run / "split.csv").read_bytes()


@pytest.fixture(scope="module")
def views(tiny, tmp_path_factory):
    """The tiny training and validation images in three views each."""
    folder = tmp_path_factory.mktemp("views")
    images = tiny["weights"].parents[1]
    return {name: extract(tiny["weights"], images / f"{name}.csv", folder / f"{name}.h5", "--views", "3",
                          "--augment", "rrc-flip") for name in ("train", "val")}


def test_retraining_sees_every_view_of_the_validation_images(views, tmp_path):
    short = ["--epochs", "4", "--warmup-epochs", "1", "--batch-size", "16", "--rank", "4", "--target",
             "corner", "--seed", "3", "--quiet"]
    chosen, together = tmp_path / "chosen", tmp_path / "together"
    for run, data in ((chosen, ["--train", views["train"], "--val", views["val"], "--retrain", "train+val",
                                "--retrain-seeds", "3"]),
                      (together, ["--train", f"{views['train']},{views['val']}"])):
        subprocess.run([str(a) for a in (tool("trainer"), "run", "--run", run, *data, *short)], check=True,
                       stdout=subprocess.DEVNULL)
    first, second = (tensors(chosen / "networks/1.safetensors"), tensors(together / "networks/0.safetensors"))
    for name in first:
        assert torch.equal(first[name], second[name]), name
    # Validation itself is on the images as they are.
    logits, labels = reference_logits(chosen / "networks/0.safetensors", views["val"])
    with h5py.File(views["val"]) as store:
        plain = store["view"][:] == 0
    accuracy = 100 * (logits.argmax(1).numpy() == labels)[plain].mean()
    assert pandas.read_csv(chosen / "networks.csv").val_accuracy[0] == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize("options, part", [
    (["--rank", "2,4"], "the best of several settings is chosen on them"),
    (["--rank", "2,4", "--retrain", "train+val"], "the best of several settings is chosen on them"),
    (["--method", "last,linear", "--select", "val"], "the best of several settings is chosen on them"),
    (["--ensemble", "2"], "--ensemble chooses on them"),
    (["--search", "halving"], "--search halving chooses on them"),
])
def test_validation_data_without_labels_choose_nothing(tiny, tmp_path, options, part):
    """Said before the grid is trained, not after it."""
    images = tiny["weights"].parents[1] / "val"
    (tmp_path / "val.csv").write_text("path,corner,colour\n" + "".join(
        f"{path},,red\n" for path in sorted(images.iterdir())))
    unlabelled = {**tiny, "val": extract(tiny["weights"], tmp_path / "val.csv", tmp_path / "val.h5")}
    message = failing(command(unlabelled, tmp_path / "run", *options), 1)
    assert 'target "corner" has no label in --val' in message and part in message
    assert "--target" in message and not (tmp_path / "run").exists()
    if options == ["--rank", "2,4"]:
        train(unlabelled, tmp_path / "run", *options, "--target", "colour")
        train(unlabelled, tmp_path / "listed", *options, "--select", "last")


def test_dry_run_writes_nothing(tiny, tmp_path):
    run = tmp_path / "run"
    result = train(tiny, run, "--dry-run", "--seed", "0,1,2")
    assert "6 networks" in result.stdout and "per step" in result.stdout
    assert not run.exists()


def test_networks_that_do_not_fit_are_refused_before_the_start(tmp_path):
    run, store = tmp_path / "run", tmp_path / "a.h5"
    subprocess.run([tool("make_large_store"), store, "4"], check=True)
    wide = [tool("trainer"), "run", "--run", run, "--train", store, "--batch-size", "4",
            "--method", "last", "--rank", "64", "--seed", ",".join(map(str, range(10000))),
            "--learning-rate", ",".join(f"{i}e-5" for i in range(1, 21))]
    for more in ([], ["--dry-run"], ["--memory", "1K"]):
        message = failing(wide + more, 1)
        assert "training 200000 networks at the same time takes 1." in message and "TiB" in message
        assert "--part" in message
    config = tmp_path / "seeds.ini"  # a command line has no room for them
    config.write_text("retrain-seeds=" + ",".join(map(str, range(200000))) + "\n")
    one = wide[:wide.index("--method")] + ["--method", "last", "--rank", "64", "--val-fraction",
                                           "0.5", "--retrain", "train+val", "--config", config]
    message = failing(one, 1)
    assert "retraining up to 200000 networks at the same time takes 1." in message
    assert "--retrain-seeds" in message
    assert not run.exists()


def test_a_finished_or_foreign_run_directory(tiny, tmp_path):
    run = tmp_path / "run"
    train(tiny, run, "--target", "corner")
    before = (run / "networks.csv").stat().st_mtime_ns
    assert "finished already" in train(tiny, run, "--target", "corner").stderr
    assert (run / "networks.csv").stat().st_mtime_ns == before
    message = failing(command(tiny, run, "--target", "corner", "--rank", "2"), 1)
    assert "rank" in message
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("important")
    assert "not empty" in failing(command(tiny, other), 1)


def test_bad_input_gets_one_clear_line(tiny, tmp_path):
    run = tmp_path / "run"
    cases = [
        (command(tiny, run, "--target", "size"), 1, "size"),
        (command(tiny, run, "--gap", "3"), 2, "does not divide"),
        (command(tiny, run, "--epochs", "1,2"), 2, "list"),
        (command(tiny, run, "--device", "cpu", "--precision", "tf32"), 1, "are for --device cuda"),
        (command(tiny, run, "--batch-size", "1000"), 1, "(--batch-size); give --batch-size"),
        (command(tiny, run, "--device", "cuda"), 1, "cuda") if not os.path.exists("/dev/nvidiactl")
        else (command(tiny, run, "--device", "gpu"), 2, "gpu"),
        (command({**tiny, "train": tmp_path / "no.h5"}, run), 1, "no.h5"),
        (command({**tiny, "train": tiny["weights"]}, run), 1, "model.safetensors"),
        ([tool("trainer"), "run", "--train", tiny["train"]], 2, "--run is missing"),
        ([tool("trainer"), "run", "--run", run], 2, "--train is missing"),
        ([tool("trainer")], 2, "no command"),
    ]
    for arguments, status, part in cases:
        assert part in failing(arguments, status)
    assert not run.exists()


def test_stores_of_different_features_are_refused(tiny, tmp_path):
    images = draw_images(tmp_path, "val", 20, seed=9)
    other_weights = extract(make_tiny_vit(tmp_path / "vit", seed=5), images, tmp_path / "other.h5")
    message = failing(command({**tiny, "val": other_weights}, tmp_path / "run"), 1)
    assert "weights_sha256" in message
    coarse = extract(tiny["weights"], images, tmp_path / "coarse.h5", "--layers", "every:2")
    message = failing(command({**tiny, "val": coarse}, tmp_path / "run"), 1)
    assert "layers" in message
    only = {"train": coarse}
    message = failing(command(only, tmp_path / "run", data=("train",)), 1)
    assert "z_1" in message and "2, 4" in message


def test_a_diverged_retrained_network_does_not_lose_the_run(tiny, tmp_path):
    partly = 0  # targets of which some seeds diverged when trained again, and some did not
    for rate in ("23", "25", "27", "31"):  # so high that it depends on the seed
        run = tmp_path / rate
        result = subprocess.run(
            command(tiny, run, "--learning-rate", rate, "--precision", "fp32", "--retrain", "train+val",
                    "--retrain-seeds", "9,0,1,2,3,4,5,6,7,8"), capture_output=True, text=True, check=False)
        table = pandas.read_csv(run / "networks.csv")
        assert result.returncode == (0 if (table.status == "ok").any() else 1), result.stderr
        for target, rows in table[table.stage == "retrain"].groupby("target"):
            ok = rows[rows.status == "ok"]
            if 0 < len(ok) < len(rows):
                partly += 1
                assert description(run / f"best.{target}.safetensors")["training"]["seed"] == ok.seed.min()
                assert ok.test_accuracy.notna().all()
                mean = f"{ok.test_accuracy.mean():.2f}"
                line = [line for line in result.stdout.splitlines() if line.startswith(target)]
                assert len(line) == 1 and f" {mean}" in line[0] and f"  {len(ok)}  " in line[0]
    assert partly > 0


def test_every_network_diverged(tiny, tmp_path):
    run = tmp_path / "run"
    for _ in range(2):  # the second time the run is finished, and no better
        message = failing(command(tiny, run, "--target", "corner", "--learning-rate", "1e38"), 1)
        assert "every network diverged" in message
    assert list(pandas.read_csv(run / "networks.csv").status) == ["diverged"]
    assert not (run / "best.corner.safetensors").exists()


def test_a_network_that_dies_in_its_last_step_is_not_ok(tiny, tmp_path):
    run = tmp_path / "run"
    # One step per epoch, one epoch: the only loss is measured before the update that destroys it.
    subprocess.run(command(tiny, run, "--target", "corner", "--learning-rate", "1e38", "--epochs",
                           "1", "--warmup-epochs", "0", "--batch-size", "96"), check=False,
                   capture_output=True)
    assert list(pandas.read_csv(run / "networks.csv").status) == ["diverged"]


@pytest.mark.parametrize("option", [
    ["--data-seed", "1"], ["--label-smoothing", "0.2"], ["--head-learning-rate-scale", "5"],
    ["--warmup-epochs", "2"], ["--pool", "mean-all"], ["--weight-decay", "1"], ["--heads", "2"],
    ["--norm", "trainable"], ["--biases", "on"], ["--variant", "b"], ["--seed", "1"],
    ["--bias-correction", "off"], ["--learning-rate", "2e-3"], ["--epochs", "5"],
    ["--batch-size", "32"],
])
def test_every_training_option_changes_the_network(tiny, tmp_path_factory, tmp_path, option):
    usual = tmp_path_factory.getbasetemp() / "usual"
    if not usual.exists():
        train(tiny, usual, "--target", "corner", data=("train",))
    train(tiny, tmp_path / "run", "--target", "corner", *option, data=("train",))
    first = tensors(usual / "networks" / "0.safetensors")
    second = tensors(tmp_path / "run" / "networks" / "0.safetensors")
    assert any(not torch.equal(first[name], second[name]) for name in ("head.weight",))


def test_quiet_prints_the_result_only(tiny, tmp_path):
    result = train(tiny, tmp_path / "run", "--quiet", "--target", "corner", "--device", "cpu")
    assert result.stderr == "" and "corner" in result.stdout


def test_a_changed_table_of_a_finished_run_is_named_and_written_anew(tiny, tmp_path):
    run = tmp_path / "run"
    whole = train(tiny, run, "--target", "corner").stdout
    tables = ["checksums.json", "config.json", "networks.csv", "summary.txt", "metrics.jsonl", "predictions.corner.csv"]
    assert sorted(json.loads((run / "checksums.json").read_text())) == sorted(tables)
    readers = [[tool("trainer"), "report", "--run", run],
               [tool("trainer"), "export", "--run", run, "--network", "best", "--out", tmp_path / "a"]]
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(config.replace('"epochs": 4', '"epochs": 7'))
    assert (run / "config.json").read_text() != config
    for arguments in readers:
        message = failing(arguments, 1)
        assert "config.json" in message and "remove it" in message
    (run / "config.json").write_text(config)
    (run / "summary.txt").write_text(whole.replace("%", "", 1) + "!")
    for arguments in (command(tiny, run, "--target", "corner"), *readers):
        message = failing(arguments, 1)
        assert "summary.txt" in message and "remove networks.csv" in message
    (run / "networks.csv").unlink()
    assert train(tiny, run, "--target", "corner").stdout == whole == (run / "summary.txt").read_text()


def test_a_finished_run_prints_its_table_again(tiny, tmp_path):
    first = train(tiny, tmp_path / "run", "--target", "corner")
    assert train(tiny, tmp_path / "run", "--target", "corner").stdout == first.stdout


def test_other_images_under_the_same_list_are_another_run(tiny, tmp_path):
    stores = {}
    for seed in (7, 8):
        folder = tmp_path / str(seed)
        images = draw_images(folder, "train", 40, seed)
        lines = images.read_text().splitlines()  # the same labels over other images
        images.write_text("\n".join([lines[0]] + [f"train/{i:03}.png,{i % 4},red"
                                                  for i in range(40)]) + "\n")
        stores[seed] = {"train": extract(tiny["weights"], images, folder / "train.h5")}
    train(stores[7], tmp_path / "run", "--target", "corner", data=("train",))
    message = failing(command(stores[8], tmp_path / "run", "--target", "corner", data=("train",)), 1)
    assert "content_sha256" in message


def test_images_that_are_trained_on_and_tested_on_are_a_warning(tiny, tmp_path):
    result = train({**tiny, "test": tiny["train"]}, tmp_path / "run", "--target", "corner")
    assert "96 of 96 different images of --test are in --train" in result.stderr
    result = train({**tiny, "val": tiny["train"]}, tmp_path / "val", "--target", "corner")
    assert "96 of 96 different images of --val are in --train" in result.stderr
    assert "of --test" not in result.stderr


@pytest.mark.parametrize("options, consequence", [
    (["--retrain", "train+val", "--retrain-seeds", "0"], "trains on them"), ([], "too good")])
def test_images_that_are_chosen_by_and_tested_on_are_a_warning(tiny, tmp_path, options, consequence):
    result = train({**tiny, "test": tiny["val"]}, tmp_path / "run", "--target", "corner", *options)
    warnings = [line for line in result.stderr.splitlines() if "different images" in line]
    assert len(warnings) == 1 and consequence in warnings[0]
    assert "40 of 40 different images of --test are in --val" in warnings[0]


def test_a_split_keeps_copies_of_an_image_together(tiny, tmp_path):
    shutil.copy(tiny["train"], tmp_path / "copy.h5")
    both = {**tiny, "train": f"{tiny['train']},{tmp_path / 'copy.h5'}"}
    options = ["--target", "corner", "--val-fraction", "0.2"]
    result = train(both, tmp_path / "run", *options, data=("train",))
    assert "different images" not in result.stderr
    said = pandas.read_csv(tmp_path / "run" / "predictions.corner.csv")  # of the images split off
    assert 30 <= len(said) <= 46 and set(said.path.value_counts()) == {2}
    # What is tested on is compared with both sides of the split.
    result = train({**both, "test": tiny["train"]}, tmp_path / "other", *options, data=("train", "test"))
    parts = sorted(int(n) for n in re.findall(r"(\d+) of 96 different images of --test", result.stderr))
    assert parts == sorted([len(said) // 2, 96 - len(said) // 2])
    assert "the images split off for val" in result.stderr


def test_a_column_of_identifiers_is_refused(tiny, tmp_path):
    images = draw_images(tmp_path, "train", 20, 3)
    images.write_text("path,id,corner\n" + "\n".join(
        f"train/{i:03}.png,{9000000 + i},{i % 4}" for i in range(20)) + "\n")
    store = {"train": extract(tiny["weights"], images, tmp_path / "train.h5")}
    message = failing(command(store, tmp_path / "run", data=("train",)), 1)
    assert "identifier" in message and "--target" in message
    train(store, tmp_path / "run", "--target", "corner", data=("train",))


def test_bf16_products_where_the_processor_has_them(tiny, tmp_path):
    arguments = command(tiny, tmp_path / "run", "--target", "corner", "--precision", "bf16")
    if "amx_bf16" not in open("/proc/cpuinfo").read() and not os.path.exists("/dev/nvidiactl"):
        assert "AMX" in failing(arguments, 1)
        assert not (tmp_path / "run").exists()
        return
    subprocess.run(arguments, check=True, capture_output=True)
    train(tiny, tmp_path / "fp32", "--target", "corner", "--precision", "fp32")
    first, second = (tensors(tmp_path / name / "networks" / "0.safetensors")
                     for name in ("run", "fp32"))
    differences = [(first[name] - second[name]).abs().max() for name in first]
    assert 0 < max(differences) < 0.05
    assert json.loads((tmp_path / "run" / "config.json").read_text())["options"]["precision"] == "bf16"


def test_the_trainer_links_neither_backbone_nor_opencv():
    libraries = subprocess.run(["ldd", tool("trainer")], capture_output=True, text=True,
                               check=True).stdout
    assert "torch_cpu" in libraries and "opencv" not in libraries
    symbols = subprocess.run(["nm", "-C", tool("trainer")], capture_output=True, text=True,
                             check=True).stdout
    assert "last::Engine" in symbols and "last::Vit" not in symbols
