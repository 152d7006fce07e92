"""`trainer export`, and scripts/last_torch.py on what it writes: logits equal the trainer's."""

import itertools
import json
import subprocess
import sys

import h5py
import numpy as np
import pandas
import pytest
import timm
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from checked_file import save_checked
from fake_run import make_run
from paths import ROOT, shared, tool
from script_runs import run_script
from tiny_stores import TINY, draw_images, extract

sys.path.insert(0, str(ROOT / "scripts"))
import last_torch  # noqa: E402

DEFAULTS = dict(method="last", rank=4, gap=1, heads=1, modules=1, variant="d", bias_correction=True,
                biases=False, pool="mean-patch", norm="frozen")
OPTIONS = {
    "default": {}, "heads": dict(heads=2), "gap": dict(gap=2), "modules": dict(modules=2),
    "b": dict(variant="b"), "c": dict(variant="c"), "uncorrected": dict(bias_correction=False),
    "uncorrected_b": dict(bias_correction=False, variant="b"), "biases": dict(biases=True),
    "cls": dict(pool="cls"), "all_tokens": dict(pool="mean-all"), "trainable": dict(norm="trainable"),
    "no_norm": dict(norm="none"),
    "everything": dict(variant="c", gap=2, modules=2, heads=4, biases=True, pool="mean-all",
                       norm="trainable"),
    "linear": dict(method="linear"), "linear_cls": dict(method="linear", pool="cls", norm="none"),
}
DIM, DEPTH, TOKENS, PREFIX, CLASSES = 24, 4, 11, 2, 5


def random_network(options, seed):
    """Tensors and description of a network file, all weights random."""
    config = {**DEFAULTS, **options}
    generator = torch.Generator().manual_seed(seed)

    def random(*shape, scale=1.0, mean=0.0):
        return mean + scale * torch.randn(*shape, generator=generator)

    backbone = dict(name="random", weights_sha256="0" * 64, depth=DEPTH, dim=DIM, tokens=TOKENS,
                    prefix_tokens=PREFIX, has_cls_token=True, grid=[3, 3],
                    layers=list(range(DEPTH + 1)), norm_eps=1e-5)
    about = dict(network=config, backbone=backbone, classes=CLASSES, target="label", class_names=[],
                 features={"store": "fp32"}, training={})
    tensors = {"head.weight": random(CLASSES, DIM), "head.bias": random(CLASSES)}
    if config["norm"] != "none":
        tensors["norm.weight"] = random(DIM, scale=0.3, mean=1)
        tensors["norm.bias"] = random(DIM)
    blocks = 0
    if config["method"] == "last":
        blocks = DEPTH // config["gap"] + (config["variant"] == "c")
    for i, t in itertools.product(range(blocks), range(config["modules"])):
        prefix = f"blocks.{i}.modules.{t}."
        tensors[prefix + "norm.weight"] = random(DIM, scale=0.3, mean=1)
        tensors[prefix + "norm.bias"] = random(DIM, scale=0.3)
        for name in ("query", "key", "value"):
            tensors[f"{prefix}{name}.weight"] = random(4, DIM, scale=DIM ** -0.5)
            if config["biases"]:
                tensors[f"{prefix}{name}.bias"] = random(4)
        tensors[prefix + "up.weight"] = random(DIM, 4)
        if config["biases"]:
            tensors[prefix + "up.bias"] = random(DIM, scale=0.3)
    return tensors, about


def features_file(folder):
    generator = torch.Generator().manual_seed(99)
    features = torch.randn(3, DEPTH + 1, TOKENS, DIM, generator=generator).cumsum(1)
    save_file({"features": features}, str(folder / "features.safetensors"))
    return features


def trainers_logits(network, folder):
    out = folder / "logits.safetensors"
    subprocess.run([tool("network_tool"), network, folder / "features.safetensors", out], check=True)
    logits = load_file(str(out))
    return [logits[f"logits.{j}"] for j in range(len(logits))]


@pytest.mark.parametrize("name", OPTIONS)
def test_torch_logits_equal_the_trainers(tmp_path, name):
    tensors, about = random_network(OPTIONS[name], seed=sorted(OPTIONS).index(name))
    path = tmp_path / "network.safetensors"
    save_checked(tensors, path, {"format": "last-network-1", "last": json.dumps(about)})
    features = features_file(tmp_path)
    network = last_torch.load(path)
    with torch.no_grad():
        logits = network([features[:, layer] for layer in network.layers])
    expected, = trainers_logits(path, tmp_path)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


def test_an_ensemble_is_the_mean_of_probabilities(tmp_path):
    tensors, networks = {}, []
    for j, name in enumerate(["gap", "linear", "everything", "everything"]):
        one, about = random_network(OPTIONS[name], seed=j // 3 + j)
        tensors.update({f"networks.{j}.{key}": value for key, value in one.items()})
        for key in ("norm.weight", "norm.bias"):  # members share the backbone
            if about["network"]["norm"] == "frozen":
                tensors[f"networks.{j}.{key}"] = torch.ones(DIM)
        networks.append(about)
    path = tmp_path / "ensemble.safetensors"
    save_checked(tensors, path,
                 {"format": "last-ensemble-1", "last": json.dumps({"networks": networks})})
    features = features_file(tmp_path)
    ensemble = last_torch.load(path)
    assert ensemble.layers == [0, 2, 4]
    with torch.no_grad():
        probabilities = ensemble([features[:, layer] for layer in ensemble.layers]).softmax(-1)
    members = trainers_logits(path, tmp_path)
    assert len(members) == 4
    expected = sum(logits.softmax(-1) for logits in members) / 4
    torch.testing.assert_close(probabilities, expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "run"
    subprocess.run([str(a) for a in (
        tool("trainer"), "run", "--train", tiny["train"], "--val", tiny["val"], "--test",
        tiny["test"], "--run", path, "--epochs", "3", "--warmup-epochs", "1", "--rank", "4",
        "--learning-rate", "1e-2,1e38", "--method", "last,linear", "--seed", "3,1", "--quiet")],
        check=True, stdout=subprocess.DEVNULL)
    return path


def export(run, out, *options):
    return subprocess.run([str(a) for a in (tool("trainer"), "export", "--run", run, "--out", out,
                                            *options)], capture_output=True, text=True, check=False)


def test_images_through_timm_give_the_trainers_predictions(tiny, run, tmp_path):
    """From pictures to probabilities in Python against predictions.TARGET.csv, path by path."""
    out = tmp_path / "best.safetensors"
    result = export(run, out, "--network", "best", "--target", "colour")
    assert result.returncode == 0 and "3 classes" in result.stderr
    backbone = timm.models.vision_transformer.VisionTransformer(**TINY)
    backbone.load_state_dict(load_file(str(tiny["weights"])))
    model = last_torch.LastModel(backbone, last_torch.load(out), weights=tiny["weights"]).eval()
    with pytest.raises(ValueError, match="is not the checkpoint"):
        last_torch.LastModel(backbone, model.side, weights=out)
    index = model.side.about["training"]["network"]
    table = pandas.read_csv(run / "predictions.colour.csv")
    table = table[table.network == index]
    assert list(table.columns) == ["path", "label", "network", "prediction", "probability",
                                   "label_probability", "data"]
    assert len(table) == 60 and set(table.data) == {"test"}
    images = torch.stack([last_torch.preprocess(Image.open(tiny["test"].parent / path), model.side)
                          for path in table.path])
    with torch.no_grad():
        log_probabilities = model(images).log_softmax(-1)
    names = model.side.class_names
    assert names == ["blue", "green", "red"]
    assert [names[i] for i in log_probabilities.argmax(-1)] == list(table.prediction)
    for column, classes in (("probability", table.prediction), ("label_probability", table.label)):
        ours = log_probabilities[range(60), [names.index(c) for c in classes]]
        # fp16 maps: one that timm and the extractor round to neighbours moves a logit by some 1e-4
        torch.testing.assert_close(ours.double(), torch.from_numpy(np.log(table[column].to_numpy())),
                                   rtol=0, atol=1e-3)
    accuracy = 100 * (table.label == table.prediction).mean()
    networks = pandas.read_csv(run / "networks.csv").set_index("network")
    assert accuracy == pytest.approx(networks.test_accuracy[index])


def test_predictions_of_an_fp32_store_are_timms(tiny, tmp_path):
    """Without rounding in between, log-probabilities agree to 1e-4, for several shapes."""
    images = draw_images(tmp_path, "train", 48, 3)
    store = extract(tiny["weights"], images, tmp_path / "train.h5", "--store", "fp32")
    backbone = timm.models.vision_transformer.VisionTransformer(**TINY)
    backbone.load_state_dict(load_file(str(tiny["weights"])))
    for options in (["--variant", "c", "--gap", "2", "--biases", "on", "--pool", "cls"],
                    ["--method", "linear", "--norm", "trainable"]):
        run = tmp_path / options[1]
        subprocess.run([str(a) for a in (
            tool("trainer"), "run", "--train", store, "--test", store, "--run", run, "--target",
            "corner", "--epochs", "3", "--warmup-epochs", "1", "--rank", "4", "--batch-size", "16",
            "--learning-rate", "1e-2", "--quiet", *options)], check=True, capture_output=True)
        model = last_torch.LastModel(backbone, last_torch.load(run / "best.corner.safetensors")).eval()
        table = pandas.read_csv(run / "predictions.corner.csv")
        pictures = torch.stack([last_torch.preprocess(Image.open(tmp_path / path), model.side)
                                for path in table.path])
        with torch.no_grad():
            ours = model(pictures).log_softmax(-1)[range(48), list(table.label)].double()
        torch.testing.assert_close(ours, torch.from_numpy(np.log(table.label_probability.to_numpy())),
                                   rtol=0, atol=1e-4)


def test_another_vit_is_refused(run):
    side = last_torch.load(run / "best.corner.safetensors")
    with pytest.raises(ValueError, match="6 blocks"):
        last_torch.LastModel(timm.models.vision_transformer.VisionTransformer(**{**TINY, "depth": 6}),
                             side)
    larger = timm.models.vision_transformer.VisionTransformer(**{**TINY, "img_size": 48})
    with pytest.raises(ValueError, match="has the shape"):
        last_torch.LastModel(larger, side)(torch.zeros(1, 3, 48, 48))
    with pytest.raises(ValueError, match="neither a side network nor an ensemble"):
        save_file({"a": torch.zeros(1)}, str(run.parent / "foreign.safetensors"))
        last_torch.load(run.parent / "foreign.safetensors")


def test_a_damaged_file_is_refused(run, tmp_path):
    data = bytearray((run / "best.corner.safetensors").read_bytes())
    sound, damaged = tmp_path / "sound.safetensors", tmp_path / "damaged.safetensors"
    sound.write_bytes(data)
    last_torch.load(sound)
    for place in (len(data) - 2, data.index(b"last-network") + 200):  # a weight; the description
        changed = bytearray(data)
        changed[place] ^= 1
        damaged.write_bytes(changed)
        with pytest.raises(ValueError, match="damaged.safetensors is damaged: its checksum"):
            last_torch.load(damaged)


def test_an_exported_file_has_all_that_is_needed(tiny, run, tmp_path):
    out = tmp_path / "any.safetensors"
    assert export(run, out, "--network", "0").returncode == 0
    with safe_open(out, "pt") as file:
        about = json.loads(file.metadata()["last"])
    with h5py.File(tiny["train"]) as store:
        features = json.loads(store.attrs["config"])["features"]
        assert about["backbone"]["weights_sha256"] == store["backbone"].attrs["weights_sha256"]
        np.testing.assert_array_equal(load_file(str(out))["norm.weight"].numpy(),
                                      store["backbone/norm_weight"][:])
    assert about["features"] == features and "preprocessing" in features
    assert out.read_bytes() == (run / "networks" / "0.safetensors").read_bytes()


def test_what_can_not_be_exported_is_an_error(tiny, run, tmp_path):
    out = tmp_path / "out.safetensors"
    diverged = pandas.read_csv(run / "networks.csv").query("status == 'diverged'").network.iloc[0]
    unchosen = tmp_path / "unchosen"
    subprocess.run([str(a) for a in (
        tool("trainer"), "run", "--train", tiny["train"], "--run", unchosen, "--target", "corner",
        "--epochs", "1", "--warmup-epochs", "0", "--rank", "2,4", "--quiet")], check=True,
        capture_output=True)
    assert not list(unchosen.glob("predictions*"))
    cases = [
        (run, ["--network", "best"], 2, "--target"),
        (run, ["--network", "best", "--target", "size"], 2, "corner, colour"),
        (run, ["--network", "first"], 2, "neither best nor ensemble"),
        (run, ["--network", "-1"], 2, "neither best nor ensemble"),
        (run, ["--network", "99"], 1, "no such network"),
        (run, ["--network", str(diverged)], 1, "diverged"),
        (run, ["--network", "0", "--target", "colour"], 1, "corner"),
        (run, ["--network", "ensemble", "--target", "colour"], 1, "--ensemble"),
        (unchosen, ["--network", "best"], 1, "no validation data"),
        (tmp_path, ["--network", "best"], 1, "config.json"),
        (run, [], 2, "--network is missing"),
    ]
    for folder, options, status, part in cases:
        result = export(folder, out, *options)
        assert result.returncode == status and part in result.stderr, (options, result.stderr)
        assert result.stderr.count("\n") == 1 and not out.exists()
    assert export(unchosen, out, "--network", "1").returncode == 0


def test_a_damaged_network_is_not_passed_on(tmp_path):
    run = make_run(tmp_path / "run", networks=2, classes=2, epochs=2, images=10)
    path = run / "networks" / "0.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    result = export(run, tmp_path / "out.safetensors", "--network", "0")
    assert result.returncode == 1 and "0.safetensors" in result.stderr
    assert not (tmp_path / "out.safetensors").exists()


def test_the_command_classifies_pictures(tmp_path):
    weights = shared("weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors")
    images = draw_images(tmp_path, "train", 12, 3)
    subprocess.run([tool("extractor"), "run", "--weights", weights, "--images", images, "--cache",
                    tmp_path / "train.h5", "--layers", "every:6", "--quiet"], check=True)
    run = tmp_path / "run"
    subprocess.run([str(a) for a in (
        tool("trainer"), "run", "--train", tmp_path / "train.h5", "--test", tmp_path / "train.h5",
        "--run", run, "--target", "colour", "--gap", "6", "--epochs", "20", "--warmup-epochs", "2",
        "--batch-size", "4", "--quiet")], check=True, capture_output=True)
    table = pandas.read_csv(run / "predictions.colour.csv")
    result = run_script("last_torch.py", run / "best.colour.safetensors", "--timm",
                        "vit_tiny_patch16_224", "--weights", weights,
                        *[tmp_path / path for path in table.path])
    assert result.returncode == 0, result.stderr
    lines = [line.split(",") for line in result.stdout.splitlines()]
    assert [line[1] for line in lines] == list(table.prediction)
    for line, probability in zip(lines, table.probability):
        assert float(line[2]) == pytest.approx(probability, abs=2e-3)
    wrong = run_script("last_torch.py", run / "best.colour.safetensors", "--timm",
                       "vit_tiny_patch16_224", "--weights", run / "best.colour.safetensors",
                       tmp_path / table.path[0])
    assert wrong.returncode == 1 and "is not the checkpoint" in wrong.stderr
