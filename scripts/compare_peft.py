#!/usr/bin/env python3
"""Measures LoRA, a linear probe, full fine-tuning and our side networks on a task folder of the
VTAB-1K kind, with timm and peft.

Methods: `lora` (on the qkv of every block), `linear` (a classifier on the final cls token, computed
once), `full` (everything is trained), `last` (our programs). Same recipe for all: AdamW, cosine with
warm-up, no augmentation. With several learning rates each is trained on train800 and judged on
val200; the winner is trained again on train800val200 with every seed and tested once. Each method
runs in a process of its own, so that memory peaks are its own.

Prints a CSV: method, learning_rate, parameters, preparation_seconds (of features or final tokens),
seconds_per_epoch (of one network on train800val200), total_seconds (preparation, all rates, all
seeds), peak_memory_mb (of the GPU's memory, or of the process on a CPU), test_accuracy and test_std
(percent, over seeds). Options of the trainer go into --last-options: with `--preset NAME` there, the
preset's space and epochs take the place of this script's learning rates, weight decay and epochs,
for `last` alone; with `--ensemble M` there is one more row, `last ensemble`. With --steps N only N
training steps are timed and the times are extrapolated.
"""

import argparse
import csv
import multiprocessing
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from last_method import PROGRAMS, program_path

METHODS = ("linear", "lora", "full", "last")
COLUMNS = ("method", "learning_rate", "parameters", "preparation_seconds", "seconds_per_epoch",
           "total_seconds", "peak_memory_mb", "test_accuracy", "test_std")


def run_method(job):
    """The rows that a method adds to the table."""
    options, method = job
    # Imported in the method's own process, whose memory is measured.
    if method == "last":
        from last_method import LastMethod
        return LastMethod(options).run()
    from torch_methods import TorchMethod
    return [TorchMethod(options, method).run()]


def cells(row):
    """A row as it is printed: seconds, megabytes and percent rounded, no value where none is."""
    scores = row["test_accuracy"]
    row = row | {"test_accuracy": statistics.mean(scores) if scores else "",
                 "test_std": statistics.stdev(scores) if len(scores) > 1 else ""}
    digits = {"preparation_seconds": 2, "seconds_per_epoch": 3, "total_seconds": 1,
              "peak_memory_mb": 1, "test_accuracy": 2, "test_std": 2}
    return [round(row[name], digits[name]) if name in digits and row[name] != "" else row[name]
            for name in COLUMNS]


def numbers(text):
    return [float(part) for part in text.split(",")]


def seeds(text):
    return [int(part) for part in text.split(",")]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True, metavar="DIR")
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE.safetensors")
    parser.add_argument("--model", default="vit_tiny_patch16_224",
                        help="timm's name (default %(default)s)")
    parser.add_argument("--method", default=",".join(METHODS), help="list (default %(default)s)")
    parser.add_argument("--learning-rate", type=numbers, default=[1e-3], metavar="LIST")
    parser.add_argument("--rank", type=int, default=8, help="of lora (default %(default)s)")
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--warmup-epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, help="time only this many steps")
    parser.add_argument("--size", type=int, default=224, help="pixels (default %(default)s)")
    parser.add_argument("--mean", type=numbers, default=[0.5] * 3, metavar="R,G,B")
    parser.add_argument("--std", type=numbers, default=[0.5] * 3, metavar="R,G,B")
    parser.add_argument("--seeds", type=seeds, default=[0], metavar="LIST",
                        help="of the final trainings; the first one searches (default 0)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32",
                        help="of training's products (default %(default)s)")
    parser.add_argument("--last-options", default="", metavar="TEXT",
                        help="further options for `trainer run`, before this script's own; e.g. "
                             "'--pool cls' or '--preset vtab --ensemble 8'")
    parser.add_argument("--work", type=Path, metavar="DIR",
                        help="where the feature store of `last` lies meanwhile (default: the "
                             "system's folder for temporary files)")
    parser.add_argument("--device", help="default: cuda where there is a GPU, else cpu")
    options = parser.parse_args()
    options.method = options.method.split(",")
    unknown = set(options.method) - set(METHODS)
    if unknown:
        parser.error(f"unknown method {sorted(unknown)}; there are {', '.join(METHODS)}")
    if options.steps and "--preset" in options.last_options:
        parser.error("--steps times this script's own recipe: no --preset in --last-options")
    for program in PROGRAMS if "last" in options.method else ():
        program_path(program)  # ends here where it is missing
    if options.device is None:
        import torch  # takes seconds
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    return options


def main():
    options = parse_arguments()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    context = multiprocessing.get_context("spawn")
    for method in options.method:
        with ProcessPoolExecutor(1, mp_context=context) as process:
            rows = process.submit(run_method, (options, method)).result()
        writer.writerows(map(cells, rows))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
