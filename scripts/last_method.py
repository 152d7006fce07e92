"""Our programs, run and timed as one of the methods of compare_peft.py."""

import csv
import json
import os
import resource
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("extractor", "trainer")


def program_path(name):
    path = Path(os.environ.get("LAST_BIN", ROOT / "build" / "bin")) / name
    if not path.exists():
        raise SystemExit(f"{path} is not built; please run scripts/build.sh")
    return path


def settings_in(networks):
    """The columns of networks.csv that make up a setting."""
    names = list(networks[0])
    return names[names.index("target") + 1:names.index("seed")]


def chosen(networks, seeds):
    """The networks that the run trained again with every seed, of what it chose for our method.

    A preset retrains its linear probe, too, and an ensemble its members: these are numbered after
    what was chosen, whatever their setting and seed.
    """
    retrained = [n for n in networks if n["stage"] == "retrain"]
    own = [n for n in retrained if n["method"] == "last"] or retrained
    if not own:
        raise SystemExit("nothing was trained again: the run has chosen no setting")
    first = min(own, key=lambda n: int(n["network"]))
    names = settings_in(networks)
    return [n for n in own if all(n[name] == first[name] for name in names)
            and int(n["seed"]) in seeds]


def options_in(text):
    """Names of the options in a part of a command line."""
    return {word.split("=")[0] for word in shlex.split(text) if word.startswith("--")}


class LastMethod:
    """`last`: extraction of the task's three lists, then one run of the trainer.

    All rates and seeds are one bank. `seconds_per_epoch` is a network's share of the run per epoch
    on train800val200; `total_seconds` is everything but the extraction of the test images.
    """

    def __init__(self, options):
        import timm
        self.options = options
        # timm knows by the model's name what the weights alone may leave open.
        self.heads = timm.create_model(options.model).blocks[0].attn.num_heads

    def call(self, program, command, *arguments):
        """Seconds that a program ran; its own messages go to stderr only if it fails."""
        path = str(program_path(program))
        start = time.monotonic()
        result = subprocess.run([path, command, *map(str, arguments), "--quiet"],
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

    def recipe(self):
        """Rates, decay and epochs of this script, but for what --last-options decides itself."""
        options = self.options
        given = options_in(options.last_options)
        recipe = {"--seed": options.seeds[0], "--batch-size": options.batch_size,
                  "--learning-rate": ",".join(map(str, options.learning_rate)),
                  "--weight-decay": options.weight_decay, "--epochs": options.epochs,
                  "--warmup-epochs": options.warmup_epochs}
        if options.steps:
            recipe["--epochs"] = max(1, options.steps * options.batch_size // 1000)
            recipe["--warmup-epochs"] = 0
        elif "--preset" in given:  # an explicit option would beat the preset's
            given |= {"--learning-rate", "--weight-decay", "--epochs", "--warmup-epochs"}
        return [part for name, value in recipe.items() if name not in given
                for part in (name, value)]

    def train(self, folder):
        """Seconds of the trainer; `folder`/run holds what it wrote."""
        options = self.options
        stores = {name: folder / f"{name}.h5" for name in ("train800", "val200", "test")}
        more = [*self.recipe(), "--device", options.device, "--precision", options.precision,
                "--run", folder / "run", *shlex.split(options.last_options)]
        if options.steps:
            return self.call("trainer", "run", "--train",
                             f"{stores['train800']},{stores['val200']}", *more)
        return self.call("trainer", "run", "--train", stores["train800"], "--val",
                         stores["val200"], "--test", stores["test"], "--retrain", "train+val",
                         "--retrain-seeds", ",".join(map(str, options.seeds)), *more)

    def ensemble(self, row, folder, networks):
        """The row of the retrained ensemble; None where the run has none.

        Members are networks of the run: seconds and parameters are those of the different ones.
        """
        if not (folder / "ensembles.csv").exists():
            return None
        with open(folder / "ensembles.csv", encoding="utf-8", newline="") as file:
            final = [line for line in csv.DictReader(file) if line["stage"] == "retrain"]
        if not final:
            return None
        indices = set(final[0]["members"].split(";"))
        members = [n for n in networks if n["network"] in indices]
        epochs = int(members[0]["epochs"])
        return row | {
            "method": "last ensemble", "learning_rate": "",
            "parameters": sum(int(n["parameters"]) for n in members),
            "seconds_per_epoch": sum(float(n["seconds"]) for n in members) / epochs,
            "test_accuracy": [float(final[0]["test_accuracy"])]}

    def run(self):
        """The rows of the table: what was chosen, and the ensemble where there is one."""
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
            final = networks if options.steps else chosen(networks, options.seeds)
            epochs = int(final[0]["epochs"])
            share = sum(float(n["seconds"]) for n in final) / len(final) / epochs
            if options.steps:
                searched = len(networks) * 0.8 if len(networks) > 1 else 0
                training = share * options.epochs * (searched + len(options.seeds))
            memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # extractor's
            row = {
                "method": "last", "learning_rate": float(final[0]["learning_rate"]),
                "parameters": int(final[0]["parameters"]), "preparation_seconds": preparation,
                "seconds_per_epoch": share, "total_seconds": preparation + training,
                "peak_memory_mb": max(memory, cost["peak_memory_bytes"]) / 1e6,
                "test_accuracy":
                    [] if options.steps else [float(n["test_accuracy"]) for n in final]}
            ensemble = None if options.steps else self.ensemble(row, folder / "run", networks)
        return [row, ensemble] if ensemble else [row]
