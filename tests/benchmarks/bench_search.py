"""What `--search halving` loses and saves against the full grid, and `--preset quick` against `wide`:

    .venv/bin/python tests/benchmarks/bench_search.py --train T.train800.h5,T.val200.h5 --test T.test.h5
        --out DIR [--compare halving|presets] [--data-seeds 0,1,2,3,4] [-- further options of `trainer run`]

For every data seed the stores of --train are split anew (--val-fraction), both searches are run one after the
other, and what each chooses on val is looked up in the test accuracies that were measured beside. Prints a CSV:
data_seed, val and test accuracy of both choices, regret (test accuracy of the first less that of the second),
seconds of training of both, and `survivors` (halving: how many networks that went to the end have a number that
differs from the full grid's). Runs that are finished in DIR are not repeated, and an interrupted one goes on."""

import argparse
import csv
import json
import os
import pathlib
import subprocess
import sys

import pandas

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from check_run import rank  # noqa: E402

BIN = pathlib.Path(os.environ.get("LAST_BIN", ROOT / "build/bin"))
SEARCHES = {"halving": (("grid", ["--search", "grid"]), ("halving", ["--search", "halving"])),
            "presets": (("wide", ["--preset", "wide"]), ("quick", ["--preset", "quick"]))}
COLUMNS = ("data_seed", "val_first", "test_first", "val_second", "test_second", "regret", "seconds_first",
           "seconds_second", "survivors")


def train(options, seed, name, search):
    """The directory of a finished run."""
    run = options.out / f"{name}.{seed}"
    command = [BIN / "trainer", "run", "--train", options.train, "--test", options.test, "--val-fraction",
               str(options.val_fraction), "--data-seed", str(seed), "--run", run, *search, *options.further]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    return run


def choice(networks):
    """The best setting's validation and test accuracy, means over its seeds."""
    columns = list(networks.columns)
    settings = columns[columns.index("target") + 1:columns.index("seed")]
    groups = [g for _, g in networks.groupby(settings, dropna=False, sort=False) if (g.status == "ok").all()]
    best = min(groups, key=rank)
    return best.val_accuracy.mean(), best.test_accuracy.mean()


def differing(full, halved):
    """How many networks that halving trained to the end have another number than in the full grid."""
    ended = halved[halved.status == "ok"].set_index("network")
    same = full.set_index("network").loc[ended.index]
    columns = ["train_loss", "val_accuracy", "val_loss", "test_accuracy"]
    return int((ended[columns] != same[columns]).any(axis=1).sum())


def compare(options, seed):
    (first, first_search), (second, second_search) = SEARCHES[options.compare]
    runs = [train(options, seed, name, search)
            for name, search in ((first, first_search), (second, second_search))]
    tables = [pandas.read_csv(run / "networks.csv") for run in runs]
    (val_first, test_first), (val_second, test_second) = map(choice, tables)
    seconds = [json.loads((run / "cost.json").read_text())["seconds"] for run in runs]
    survivors = differing(*tables) if options.compare == "halving" else ""
    return (seed, val_first, test_first, val_second, test_second, test_first - test_second,
            *(round(value, 1) for value in seconds), survivors)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, metavar="CACHE[,..]")
    parser.add_argument("--test", required=True, metavar="CACHE[,..]")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="DIR")
    parser.add_argument("--compare", choices=SEARCHES, default="halving")
    parser.add_argument("--data-seeds", default="0,1,2,3,4", metavar="LIST")
    parser.add_argument("--val-fraction", type=float, default=0.2)
    parser.add_argument("further", nargs="*", help="for both runs, e.g. --preset vtab --epochs 12")
    return parser.parse_args()


def main():
    options = parse_arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = []
    for seed in map(int, options.data_seeds.split(",")):
        rows.append(compare(options, seed))
        writer.writerow(rows[-1])
        sys.stdout.flush()
    table = pandas.DataFrame(rows, columns=COLUMNS)
    print(f"mean regret {table.regret.mean():+.2f} points (worst {table.regret.max():+.2f}), "
          f"{100 * table.seconds_second.sum() / table.seconds_first.sum():.0f} % of the time")


if __name__ == "__main__":
    main()
