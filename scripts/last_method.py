"""Our programs, run and timed as one of the methods of compare_peft.py."""

import csv
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import timm

ROOT = Path(__file__).resolve().parents[1]


RUN_COLUMNS = ("network", "seed", "train_loss", "val_accuracy", "test_accuracy", "seconds", "status")


def chosen(networks):
    """The networks that the run trained again, a seed each; they must be of one setting."""
    retrained = [n for n in networks if n["stage"] == "retrain"]
    settings = {tuple(n[name] for name in n if name not in RUN_COLUMNS) for n in retrained}
    if len(settings) != 1:
        raise SystemExit(f"{len(settings)} settings were trained again; expected one: no "
                         "--ensemble, one --method and one --target in --last-options")
    return retrained


class LastMethod:
    """`last`: extraction of the task's three lists, then one run of the trainer.

    All rates and seeds are one bank. `seconds_per_epoch` is a network's share of the run per epoch
    on train800val200; `total_seconds` is everything but the extraction of the test images.
    """

    def __init__(self, options):
        self.options = options
        # timm knows by the model's name what the weights alone may leave open.
        self.heads = timm.create_model(options.model).blocks[0].attn.num_heads
        self.binaries = Path(os.environ.get("LAST_BIN", ROOT / "build" / "bin"))

    def call(self, program, command, *arguments):
        """Seconds that a program ran; its own messages go to stderr only if it fails."""
        tool = self.binaries / program
        if not tool.exists():
            raise SystemExit(f"{tool} is not built; please run scripts/build.sh")
        start = time.monotonic()
        result = subprocess.run([str(tool), command, *map(str, arguments), "--quiet"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                check=False)
        if result.returncode != 0:
            raise SystemExit(f"{program} {command} failed ({result.returncode}): {result.stderr}")
        return time.monotonic() - start

    def extract(self, name, folder):
        options = self.options
        triples = [",".join(map(str, values)) for values in (options.mean, options.std)]
        return self.call(
            "extractor", "run", "--weights", options.weights, "--heads", self.heads, "--images",
            options.task / f"{name}.txt", "--cache", folder / f"{name}.h5", "--resize",
            options.size, "--mean", triples[0], "--std", triples[1], "--device", options.device,
            "--precision", options.precision)

    def train(self, folder):
        """Seconds of the trainer; `folder`/run holds what it wrote."""
        options = self.options
        stores = {name: folder / f"{name}.h5" for name in ("train800", "val200", "test")}
        recipe = ["--learning-rate", ",".join(map(str, options.learning_rate)),
                  "--weight-decay", options.weight_decay, "--batch-size", options.batch_size,
                  "--device", options.device, "--precision", options.precision,
                  "--run", folder / "run", *options.last_options.split()]
        if options.steps:
            epochs = max(1, options.steps * options.batch_size // 1000)
            return self.call("trainer", "run", "--train",
                             f"{stores['train800']},{stores['val200']}", "--epochs", epochs,
                             "--warmup-epochs", 0, *recipe)
        seeds = ",".join(map(str, options.seeds))
        return self.call("trainer", "run", "--train", stores["train800"], "--val",
                         stores["val200"], "--test", stores["test"], "--retrain", "train+val",
                         "--retrain-seeds", seeds, "--seed", options.seeds[0], "--epochs",
                         options.epochs, "--warmup-epochs", options.warmup_epochs, *recipe)

    def run(self):
        """A row of the table."""
        options = self.options
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            folder = Path(folder)
            preparation = self.extract("train800", folder) + self.extract("val200", folder)
            if not options.steps:
                self.extract("test", folder)
            training = self.train(folder)
            with open(folder / "run" / "networks.csv", encoding="utf-8", newline="") as file:
                networks = list(csv.DictReader(file))
            cost = json.loads((folder / "run" / "cost.json").read_text())
        final = networks if options.steps else chosen(networks)
        epochs = int(final[0]["epochs"])
        share = sum(float(n["seconds"]) for n in final) / len(final) / epochs
        if options.steps:
            searched = len(networks) * 0.8 if len(networks) > 1 else 0
            training = share * options.epochs * (searched + len(options.seeds))
        extractor_memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        return {
            "method": "last", "learning_rate": float(final[0]["learning_rate"]),
            "parameters": int(final[0]["parameters"]), "preparation_seconds": preparation,
            "seconds_per_epoch": share, "total_seconds": preparation + training,
            "peak_memory_mb": max(extractor_memory, cost["peak_memory_bytes"]) / 1e6,
            "test_accuracy": [] if options.steps else [float(n["test_accuracy"]) for n in final]}
