"""What side networks add to the backbone in `extractor evaluate`, on the CPU:

    .venv/bin/python tests/benchmarks/bench_evaluate.py [--images 64] [--networks 16] [--rank 16] [--heads 1]
        [--rounds 3]

A ViT-B/16 with random weights, networks with random parameters and noise for images: none of it changes
the time. The same images are evaluated with one linear probe, which costs nothing, and with the networks;
the difference of the times is their cost. On a machine that others use, too, two runs one after the other
say little: the rounds alternate, the fastest run of each kind counts, and what the networks took beside
the backbone inside one run is printed as a check."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import timm
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/interop"))

from checked_file import save_checked  # noqa: E402

BIN = pathlib.Path(os.environ.get("LAST_BIN", ROOT / "build/bin"))
MODEL = "vit_base_patch16_224"


def make_backbone(folder):
    torch.manual_seed(0)
    model = timm.create_model(MODEL, pretrained=False, num_classes=0)
    weights = folder / "model.safetensors"
    save_file(model.state_dict(), str(weights))
    (folder / "config.json").write_text(json.dumps({"architecture": MODEL}))
    return weights


def make_images(folder, count):
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    path = folder / "images.txt"
    path.write_text("".join(f"{i}.png {i % 10}\n" for i in range(count)))
    return path


def train_probe(folder, weights, images):
    """A file of the trainer's, so that what it says of the features is right."""
    some = folder / "some.txt"
    some.write_text("".join(images.read_text().splitlines(True)[:8]))
    subprocess.run([BIN / "extractor", "run", "--weights", weights, "--images", some, "--cache",
                    folder / "some.h5", "--quiet"], check=True)
    subprocess.run([BIN / "trainer", "run", "--train", folder / "some.h5", "--run", folder / "run", "--method",
                    "linear", "--batch-size", "8", "--epochs", "1", "--warmup-epochs", "0", "--quiet"],
                   check=True, stdout=subprocess.DEVNULL)
    return folder / "run/networks/0.safetensors"


def make_networks(folder, probe, count, rank, heads):
    with safe_open(probe, "pt") as file:
        about = json.loads(file.metadata()["last"])
        shared = {name: file.get_tensor(name) for name in file.keys()}
    about["backbone"]["layers"] = list(range(13))
    about["network"] |= {"method": "last", "rank": rank, "heads": heads, "gap": 1}
    (folder / "networks").mkdir()
    for k in range(count):
        torch.manual_seed(k)
        stored = dict(shared)
        for i in range(12):
            name = f"blocks.{i}.modules.0."
            stored |= {name + "norm.weight": torch.ones(768), name + "norm.bias": torch.zeros(768),
                       name + "up.weight": 0.01 * torch.randn(768, rank)}
            for part in ("query", "key", "value"):
                stored[name + part + ".weight"] = 0.04 * torch.randn(rank, 768)
        save_checked(stored, folder / f"networks/{k}.safetensors",
                     {"format": "last-network-1", "last": json.dumps(about)})
    return folder


def evaluate(weights, networks, images, out):
    result = subprocess.run([BIN / "extractor", "evaluate", "--weights", weights, "--networks", networks,
                             "--images", images, "--out", out, "--device", "cpu", "--quiet"],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, backbone, rest = map(float, re.search(r"\(([\d.]+) s; backbone ([\d.]+) s, networks ([\d.]+) s\)",
                                                   result).groups())
    return {"seconds": seconds, "backbone": backbone, "networks": rest}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in (("images", 64), ("networks", 16), ("rank", 16), ("heads", 1), ("rounds", 3)):
        parser.add_argument(f"--{option}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        weights, images = make_backbone(folder), make_images(folder, options.images)
        probe = train_probe(folder, weights, images)
        networks = make_networks(folder, probe, options.networks, options.rank, options.heads)
        runs = {"alone": [], "together": []}
        for i in range(options.rounds):
            runs["alone"].append(evaluate(weights, probe, images, folder / f"alone{i}"))
            runs["together"].append(evaluate(weights, networks, images, folder / f"together{i}"))
            for kind, done in runs.items():
                print(f"round {i}, {kind}: {done[-1]}", flush=True)
    alone, together = (min(runs[kind], key=lambda run: run["seconds"]) for kind in ("alone", "together"))
    inside = sorted(run["networks"] / run["backbone"] for run in runs["together"])
    print(f"forward alone        {options.images / alone['seconds']:.2f} images/s")
    print(f"with {options.networks} networks     {options.images / together['seconds']:.2f} images/s")
    print(f"cost of the networks {100 * (together['seconds'] / alone['seconds'] - 1):.1f} % of the forward alone")
    print(f"inside one run       {100 * inside[0]:.1f} to {100 * inside[-1]:.1f} % of the backbone's time")


if __name__ == "__main__":
    main()
