#!/usr/bin/env python3
"""Works out a run's result table again, from what its networks said of each image.

    scripts/check_run.py RUN [RUN ..]

Chooses from networks.csv by the rule of `trainer run --help` (highest mean validation accuracy over the seeds, then
lowest mean validation loss, then fewer parameters, then the lower network), counts right answers in predictions.TARGET.csv and
ensemble_predictions.TARGET.csv, and compares with networks.csv, ensembles.csv and summary.txt. Looks which networks
best.TARGET.safetensors (lowest seed of the best setting of all methods) and ensemble.TARGET.safetensors hold. Needs
pandas; shares no code with the trainer. Exit status 1 if anything differs.
"""

import json
import math
import pathlib
import sys

import pandas


class Check:
    def __init__(self):
        self.compared, self.wrong = 0, []

    def equal(self, what, found, expected):
        self.compared += 1
        same = found == expected
        if isinstance(found, float):
            same = math.isclose(found, expected, abs_tol=1e-9) or math.isnan(found) and math.isnan(expected)
        if not same:
            self.wrong.append(f"{what}: {found!r} in the run, {expected!r} recomputed")


def read(path, **options):
    """A table whose texts stay texts: a class may be called "nan" or "007"."""
    return pandas.read_csv(path, keep_default_na=False, **options)


def accuracy(predictions):
    """Percent of the labelled images; NaN where there is none."""
    labelled = predictions[predictions.label != ""]
    return 100 * float((labelled.label == labelled.prediction).mean()) if len(labelled) else math.nan


def rank(group):
    """Of a setting's networks; the lowest is chosen, within a method as between methods."""
    return (-round(group.val_accuracy.mean(), 9), group.val_loss.mean(), group.parameters.min(), group.network.min())


def choose(searched, settings):
    """(networks of the best setting, settings compared) of one target and method; (None, n) where nothing decides."""
    compared = [g for _, g in searched.groupby(settings, dropna=False, sort=False) if g.status.isin(["ok", "stopped"]).all()]
    whole = [g for g in compared if (g.status == "ok").all()]
    if len(whole) > 1 and any(g.val_accuracy.isna().any() for g in whole):
        return None, len(compared)
    whole.sort(key=rank)
    return (whole[0] if whole else None), len(compared)


def networks_in(path):
    """Numbers of the networks in a file of the trainer's; [] where there is no such file."""
    if not path.exists():
        return []
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    about = json.loads(header["__metadata__"]["last"])
    return [member["training"]["network"] for member in about.get("networks", [about])]


def spread(values):
    values = values.dropna()
    if not len(values):
        return "-"
    text = f"{values.mean():.2f}"
    return text + f" +- {values.std():.2f}" if len(values) > 1 else text


def summary_lines(path):
    """The table of summary.txt by the places of its headers."""
    _, head, *lines = path.read_bytes().decode("latin-1").splitlines()  # one character per byte, as it is aligned
    names = [name for name in ("target", "setting", "chosen by", "seeds", "parameters", "trained on", "val %", "test %")
             if name in head]
    starts = [head.index(name) for name in names]
    for line in lines:
        cells = [line[a:b].strip() for a, b in zip(starts, starts[1:] + [None])]
        yield dict(zip(names, (cell.encode("latin-1").decode() for cell in cells)))


def check_run(run, check):
    networks = read(run / "networks.csv", na_values={c: [""] for c in ("val_accuracy", "val_loss", "test_accuracy")})
    options = json.loads((run / "config.json").read_text())["options"]
    if options["select"] == "last":
        raise SystemExit(f"{run}: nothing was chosen (--select last)")
    columns = list(networks.columns)
    settings = columns[columns.index("target") + 1:columns.index("seed")]
    table = list(summary_lines(run / "summary.txt"))
    for target in dict.fromkeys(networks.target):
        own = networks[networks.target == target]
        said = read(run / f"predictions.{target}.csv", dtype={"label": str, "prediction": str})
        for network, lines in said.groupby("network"):
            row = own[own.network == network].iloc[0]
            data = lines.data.iloc[0]
            check.equal(f"{target}: network {network} on {data}", row[f"{data}_accuracy"], accuracy(lines))
        winners, settings_compared = [], 0  # of each method: the searched networks, the final ones
        for method in ("linear", "last"):
            trained = own[own.method == method]
            chosen, count = choose(trained[trained.stage == "search"], settings)
            settings_compared += count
            if chosen is None:
                continue
            final = chosen
            if options["retrain"] != "none":
                same = trained[trained.stage == "retrain"].merge(chosen[settings].drop_duplicates(), on=settings)
                final = same[same.seed.isin(options["retrain_seeds"]) & (same.status == "ok")]
            winners.append((chosen, final))
            predicted = chosen if (said.data == "val").all() else final
            missing = set(predicted.network) - set(said.network)
            check.equal(f"{target}, {method}: chosen networks without predictions", sorted(missing), [])
            basis = "only one" if count == 1 else f"val, of {count}"
            expected = {"seeds": str(len(final)), "chosen by": basis, "val %": spread(final.val_accuracy),
                        "test %": spread(final.test_accuracy)}
            shown = [line for line in table if line["target"] == target and line["chosen by"] != "nothing"
                     and line["setting"].startswith(method + " ")]
            check.equal(f"{target}, {method}: lines in summary.txt", len(shown), 1)
            for name, value in expected.items() if shown else ():
                check.equal(f"{target}, {method}: {name}", shown[0][name], value)
            print(f"{target}, {method}: {basis}; networks {', '.join(map(str, sorted(final.network)))}; "
                  f"val {expected['val %']}, test {expected['test %']}")
        best = []
        if winners and (settings_compared == 1 or winners[0][0].val_accuracy.notna().all()):
            final = min(winners, key=lambda winner: rank(winner[0]))[1]
            best = [int(final.sort_values("seed").network.iloc[0])] if len(final) else []
        check.equal(f"best.{target}.safetensors: networks", networks_in(run / f"best.{target}.safetensors"), best)
        if (run / f"ensemble_predictions.{target}.csv").exists():
            lines = read(run / f"ensemble_predictions.{target}.csv", dtype={"label": str, "prediction": str})
            ensembles = pandas.read_csv(run / "ensembles.csv", dtype={"target": str}).query("target == @target")
            final = ensembles[ensembles.stage == ("retrain" if "retrain" in set(ensembles.stage) else "search")]
            members = [int(member) for member in str(final.members.iloc[0]).split(";")]
            held = networks_in(run / f"ensemble.{target}.safetensors")
            check.equal(f"ensemble.{target}.safetensors: networks", held, members)
            data = lines.data.iloc[0]
            row = (ensembles[ensembles.stage == "search"] if data == "val" else final).iloc[0]
            check.equal(f"{target}: ensemble on {data}", row[f"{data}_accuracy"], accuracy(lines))
            shown = [line for line in table if line["target"] == target and line["setting"].startswith("ensemble of ")]
            for name in ("val", "test"):
                value = spread(pandas.Series([final[f"{name}_accuracy"].iloc[0]], dtype=float))
                check.equal(f"{target}, ensemble: {name} %", shown[0][f"{name} %"], value)
            print(f"{target}, ensemble: {data} {accuracy(lines):.2f}")


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    check = Check()
    for name in sys.argv[1:]:
        try:
            check_run(pathlib.Path(name), check)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SystemExit(f"{error.filename}: {error.strerror}; is {name} a finished run?") from None
    for line in check.wrong:
        print(line, file=sys.stderr)
    print(f"{check.compared} numbers and choices compared, {len(check.wrong)} differ")
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
