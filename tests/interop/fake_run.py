"""Makes run directories as `trainer run` leaves them, of any size and without training:

    python fake_run.py DIR [--networks 36] [--classes 10] [--targets 1] [--epochs 30] [--seeds 1]
        [--retrain] [--no-linear] [--no-val] [--indices] [--hostile] [--ensembles] [--ties]
        [--images 2000]

For tests of the report, and for looking at it.
"""

import argparse
import csv
import itertools
import json
import math
import pathlib

import numpy as np
import torch

from checked_file import crc32c, save_checked
from trainer_runs import COLUMNS

HOSTILE = ['</script><script>document.title="broken"</script>', '"><img src=x onerror="x()">',
           "Robert'); DROP TABLE", "a,b\"c", "{{DATA}}", "<!--", "über 猫 \u2028", " ", "&lt;b&gt;"]
PREDICTIONS = "path,label,network,prediction,probability,label_probability,data".split(",")
DIM, DEPTH, TOKENS = 16, 2, 5


def class_names(count, hostile):
    adjectives = "red blue green dark pale large small wild common old".split()
    nouns = ("river forest highway pasture harbour airport stadium bridge church desert meadow "
             "mountain beach island parking railway").split()
    names = [f"{a} {n}" for a, n in itertools.product(adjectives, nouns)]
    names += [f"{a} {b} {n}" for a, b, n in itertools.product(adjectives, adjectives, nouns)]
    if hostile:
        names = HOSTILE + names
    return names[:count]


def settings(count, linear):
    """`count` settings spread over the values of the usual grid."""
    grid = [dict(method="last", rank=r, gap=g, heads=1, modules=1, variant="d",
                 bias_correction="on", biases="off", pool=p, norm="frozen", learning_rate=lr,
                 head_learning_rate_scale=h, weight_decay=wd, label_smoothing=0.0)
            for r, g, p, lr, h, wd in itertools.product(
                (16, 8, 4), (1, 2), ("mean-patch", "cls"), (1e-3, 3e-4, 3e-3, 1e-2), (1, 3, 10),
                (0.05, 0.5, 1, 2))]
    probes = [dict(method="linear", pool=p, norm="frozen", learning_rate=lr,
                   head_learning_rate_scale=1, weight_decay=wd, label_smoothing=0.0)
              for p, lr, wd in itertools.product(("mean-patch", "cls"), (1e-3, 1e-2, 1e-1), (0.05, 0))]
    linear_count = min(len(probes), max(1, count // 6)) if linear and count > 1 else 0
    step = max(1, len(grid) // (count - linear_count))
    return grid[::step][:count - linear_count] + probes[:linear_count]


def save_network(path, setting, target, names, classes, index):
    """A file that the trainer accepts; all its weights are zero."""
    config = dict(method=setting["method"], rank=setting.get("rank", 16), gap=setting.get("gap", 1),
                  heads=1, modules=1, variant="d", bias_correction=True, biases=False,
                  pool=setting["pool"], norm="frozen")
    tensors = {"norm.weight": torch.ones(DIM), "norm.bias": torch.zeros(DIM),
               "head.weight": torch.zeros(classes, DIM), "head.bias": torch.zeros(classes)}
    if setting["method"] == "last":
        for block in range(DEPTH // config["gap"]):
            prefix = f"blocks.{block}.modules.0."
            tensors.update({prefix + "norm.weight": torch.ones(DIM),
                            prefix + "norm.bias": torch.zeros(DIM),
                            prefix + "up.weight": torch.zeros(DIM, config["rank"])})
            for name in ("query", "key", "value"):
                tensors[f"{prefix}{name}.weight"] = torch.zeros(config["rank"], DIM)
    backbone = dict(name="fake", weights_sha256="0" * 64, depth=DEPTH, dim=DIM, tokens=TOKENS,
                    prefix_tokens=1, has_cls_token=True, grid=[2, 2],
                    layers=list(range(DEPTH + 1)), norm_eps=1e-6)
    about = dict(network=config, backbone=backbone, classes=classes, target=target,
                 class_names=names, features={"store": "fp16"}, training={"network": index})
    save_checked(tensors, path, metadata={"format": "last-network-1", "last": json.dumps(about)})


def make_row(rng, index, setting, seed, target, options, stage="search"):
    quality = 80 + 4 * math.log10(setting["learning_rate"] * 1e3 + 0.1)
    if setting["method"] == "last":
        quality += 6 + 1.5 * math.log2(setting["rank"] / 4) + (2 if setting["pool"] == "cls" else 0)
        quality -= 1.2 * setting["gap"] - 0.8 * setting["weight_decay"]
    quality = min(99.5, max(1, quality + rng.normal(0, 0.8)))
    if setting["learning_rate"] >= 1e-2 and setting.get("head_learning_rate_scale") == 10:
        return dict(setting, network=index, stage=stage, target=target, seed=seed,
                    epochs=options.epochs, parameters=600000, parameters_without_head=590000,
                    train_data="train", train_loss="", val_accuracy="", test_accuracy="",
                    seconds=3.2, status="diverged", val_loss="", quality=quality)
    retrained = stage == "retrain"
    has_test = retrained or not options.retrain
    return dict(setting, network=index, stage=stage, target=target, seed=seed,
                epochs=options.epochs, parameters=38016 * setting.get("rank", 1) + 10 * DIM,
                parameters_without_head=38016 * setting.get("rank", 1),
                train_data="train+val" if retrained else "train", train_loss=2.2 - quality / 50,
                val_accuracy="" if retrained or options.no_val else
                round(quality / 5) * 5.0 if options.ties else round(quality, 3),
                test_accuracy=round(quality - 0.7 + rng.normal(0, 0.3), 3) if has_test else "",
                seconds=4.1 + rng.uniform(0, 2), status="ok",
                val_loss="" if retrained or options.no_val else round(2.4 - quality / 50, 6),
                quality=quality)


def curve_lines(row, options):
    for epoch in range(1, options.epochs + 1):
        share = 1 - math.exp(-4 * epoch / options.epochs)
        broken = row["status"] == "diverged" and epoch > options.epochs // 3
        val = None if row["val_accuracy"] == "" and row["status"] == "ok" else row["quality"] * share
        yield dict(network=row["network"], epoch=epoch, learning_rate=row["learning_rate"],
                   train_loss=None if broken else 2.2 - row["quality"] / 50 * share,
                   train_accuracy=None if broken else min(100, row["quality"] * share * 1.04),
                   val_accuracy=None if broken else val,
                   val_loss=None if broken or val is None else 2.4 - val / 50,
                   seconds=row["seconds"] * epoch / options.epochs)


def predictions(rng, row, names, options, data):
    """Neighbouring classes are confused; class 1 is the hardest."""
    classes = options.classes
    text = (lambda c: names[c]) if names else str
    for i in range(options.images):
        label = int(rng.integers(classes))
        hard = 0.6 if label == 1 else 1
        right = rng.uniform() < row["quality"] / 100 * hard
        near = (label + int(rng.integers(1, 3))) % classes
        prediction = label if right else near if rng.uniform() < 0.7 else int(rng.integers(classes))
        probability = rng.uniform(0.4, 1)
        rest = probability if prediction == label else (1 - probability) * rng.uniform(0, 1) ** 3
        yield [f"images/{text(label) if options.hostile else label}/{i:05}.jpg", text(label),
               row["network"], text(prediction), repr(float(probability)), repr(float(rest)), data]


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def choose(rows, method, target):
    """The trainer's rule: highest mean over seeds, then lowest mean loss, then fewer parameters, then the first; a
    setting that lost a seed is no candidate."""
    groups = {}
    for row in rows:
        if row["method"] == method and row["target"] == target:
            key = tuple((k, row.get(k)) for k in COLUMNS[2:17])
            groups.setdefault(key, []).append(row)
    groups = [g for g in groups.values() if all(r["status"] == "ok" for r in g)]
    measured = [g for g in groups if g[0]["val_accuracy"] != ""]

    def mean(group, name):
        return sum(row[name] for row in group) / len(group)

    return min(measured, key=lambda g: (-mean(g, "val_accuracy"), mean(g, "val_loss"), g[0]["parameters"]), default=None)


def make_run(folder, **values):
    options = parse(["."])
    for name, value in values.items():
        assert hasattr(options, name)
        setattr(options, name, value)
    folder = pathlib.Path(folder)
    (folder / "networks").mkdir(parents=True)
    rng = np.random.default_rng(0)
    targets = ["label", "shape", "colour"][:options.targets]
    if options.hostile:
        targets[0] = "<b>&label"
    names = [] if options.indices else class_names(options.classes, options.hostile)
    rows = []
    per_target = max(1, options.networks // (options.seeds * options.targets))
    for target in targets:
        for setting in settings(per_target, not options.no_linear):
            rows += [make_row(rng, len(rows) + i, setting, seed, target, options)
                     for i, seed in enumerate(range(options.seeds))]
    chosen = []
    for target in targets:
        for method in ("linear", "last"):
            group = choose(rows, method, target)
            if group and options.retrain:
                group = [make_row(rng, 0, {k: group[0][k] for k in COLUMNS[2:17] if k in group[0]
                                           and k != "target"}, seed, target, options, "retrain")
                         for seed in range(3)]
                for row in group:
                    row["network"] = len(rows)
                    rows.append(row)
            if group:
                chosen.append((target, group[0]))
    if options.ensembles:
        lines = []
        for target in targets:
            own = [row for row in rows if row["target"] == target and row["status"] == "ok"]
            ranked = sorted(own, key=lambda row: -row["quality"])[:7]
            members = ";".join(str(row["network"]) for row in ranked + ranked[:1])
            together = predictions(rng, dict(ranked[0], network="ensemble"), names, options, "test")
            write_csv(folder / f"ensemble_predictions.{target}.csv", [PREDICTIONS, *together])
            lines.append([target, 8, members, round(ranked[0]["quality"] + 1, 3),
                          round(ranked[0]["quality"] + 0.4, 3), "train", "search"])
        write_csv(folder / "ensembles.csv",
                  ["target,size,members,val_accuracy,test_accuracy,train_data,stage".split(","),
                   *lines])
    for row in rows:
        if row["status"] == "ok":
            save_network(folder / "networks" / f"{row['network']}.safetensors", row, row["target"],
                         names, options.classes, row["network"])
    for target in targets:
        lines = [line for t, row in reversed(chosen) if t == target
                 for line in predictions(rng, row, names, options, "test")]
        if lines:
            write_csv(folder / f"predictions.{target}.csv", [PREDICTIONS, *lines])
    with open(folder / "metrics.jsonl", "w", encoding="utf-8") as file:
        for row in rows:
            file.writelines(json.dumps(line) + "\n" for line in curve_lines(row, options))
    write_csv(folder / "networks.csv",
              [COLUMNS, *([row.get(name, "") for name in COLUMNS] for row in rows)])
    config = dict(program="trainer 0.1.0", options=dict(learning_rate=[1e-3], epochs=options.epochs),
                  data=dict(targets=[dict(name=t, classes=options.classes) for t in targets],
                            train=[], val=[], test=[]),
                  features=dict(store="fp16"),
                  machine=dict(device="cpu", threads=2, train=["train.h5"], val=[], test=["test.h5"]))
    (folder / "config.json").write_text(json.dumps(config))
    cost = dict(sessions=1, seconds=float(sum(row["seconds"] for row in rows) + 20),
                peak_memory_bytes=1_300_000_000)
    text = json.dumps(list(cost.values()), separators=(",", ":"))
    (folder / "cost.json").write_text(json.dumps({**cost, "crc32c": f"0x{crc32c(text.encode()):08x}"}))
    return folder


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    for name, default in (("networks", 36), ("classes", 10), ("targets", 1), ("epochs", 30),
                          ("seeds", 1), ("images", 2000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in ("retrain", "no-linear", "no-val", "indices", "hostile", "ensembles", "ties"):
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    command_line = vars(parse())
    make_run(command_line.pop("folder"), **command_line)
