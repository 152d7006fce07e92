#!/usr/bin/env python3
"""Prints the demonstration's result: per target, the best linear probe and the best side network.

The best of a kind is the one with the highest accuracy on the validation images; what is printed is
its accuracy on the test images.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path


METHODS = ("last", "linear")  # also the names of their run directories


def read_networks(folder):
    """Networks of both runs that finished and were measured on validation and test images."""
    rows = []
    for method in METHODS:
        with open(folder / method / "networks.csv", newline="") as file:
            rows += csv.DictReader(file)
    return [row for row in rows
            if row["status"] == "ok" and row["val_accuracy"] and row["test_accuracy"]]


def best(rows):
    """The trainer's choice: highest validation accuracy; ties: lowest loss, fewer parameters, the earlier."""
    return max(rows, key=lambda row: (float(row["val_accuracy"]), -float(row["val_loss"]),
                                      -int(row["parameters"]), -int(row["network"])))


def by_target(rows):
    """{target: {method: its best row}}, in the order of the file."""
    groups = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row["target"]][row["method"]].append(row)
    return {target: {method: best(found) for method, found in methods.items()}
            for target, methods in groups.items()}


def table(rows):
    lines = [f"{'target':<12} {'linear probe':>12} {'LAST':>8} {'gain':>8}"]
    for target, methods in by_target(rows).items():
        shown = {method: float(row["test_accuracy"]) for method, row in methods.items()}
        cells = [f"{shown[m]:.1f} %" if m in shown else "-" for m in ("linear", "last")]
        gain = f"{shown['last'] - shown['linear']:+.1f}" if len(shown) == 2 else "-"
        lines.append(f"{target:<12} {cells[0]:>12} {cells[1]:>8} {gain:>8}")
    return lines


def summary(folder, rows):
    seconds = sum(float(row["seconds"] or 0) for row in rows)
    caches = sorted(folder.glob("*.h5"))
    size = sum(path.stat().st_size for path in caches) / 1e6
    return [f"{len(rows)} networks trained in {seconds:.0f} s; "
            f"features of all images: {size:.0f} MB in {len(caches)} files",
            f"All networks: {folder}/{{{','.join(METHODS)}}}/networks.csv"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder that scripts/demo.sh wrote")
    folder = parser.parse_args().folder
    rows = read_networks(folder)
    if not rows:
        raise SystemExit(f"demo_table.py: error: no finished network in {folder}")
    print("\n".join(["", *table(rows), "", *summary(folder, rows)]))


if __name__ == "__main__":
    main()
