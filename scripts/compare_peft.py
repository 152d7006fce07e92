#!/usr/bin/env python3
"""Measures what side networks are compared with, on a task folder of the VTAB-1K kind.

Methods: `lora` (peft, on the qkv of every block), `linear` (a classifier on the final cls token,
computed once), `full` (everything is trained). Same recipe for all: AdamW, cosine with warm-up,
batches of 32, no augmentation. With several learning rates each is trained on train800 and judged
on val200; the winner is trained again on train800val200 and tested once. With one it is used at
once. Each method runs in a process of its own, so that memory peaks are its own.

Prints a CSV: method, learning_rate, parameters, preparation_seconds, seconds_per_epoch,
total_seconds, peak_memory_mb (of the GPU's memory, or of the process on a CPU), test_accuracy
(percent). With --steps N only N training steps are timed and the times are extrapolated.
"""

import argparse
import csv
import math
import multiprocessing
import resource
import sys
import time
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from vtab_task import Split

METHODS = ("linear", "lora", "full")
COLUMNS = ("method", "learning_rate", "parameters", "preparation_seconds", "seconds_per_epoch",
           "total_seconds", "peak_memory_mb", "test_accuracy")
TEST_BATCH = 100


def learning_rate(epoch, epochs, warmup, peak):
    if epoch < warmup:
        return 1e-7 + (peak - 1e-7) * epoch / warmup
    progress = (epoch - warmup) / (epochs - warmup)
    return 1e-8 + (peak - 1e-8) * (1 + math.cos(math.pi * progress)) / 2


def build_model(options, classes):
    """The backbone with a new head, and what the method lets train."""
    model = timm.create_model(options.model, pretrained=False, num_classes=classes)
    state = {name: value for name, value in load_file(options.weights).items()
             if not name.startswith("head.")}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or any(not name.startswith("head.") for name in missing):
        raise SystemExit(f"{options.weights} does not fit {options.model}: "
                         f"missing {missing[:3]}, unexpected {unexpected[:3]}")
    torch.nn.init.trunc_normal_(model.head.weight, std=0.02)
    torch.nn.init.zeros_(model.head.bias)
    return model


def for_method(model, options, method):
    if method == "linear":
        return model.head
    if method == "lora":
        config = LoraConfig(r=options.rank, lora_alpha=options.rank, target_modules=["qkv"],
                            modules_to_save=["head"])
        return get_peft_model(model, config)
    return model


class Experiment:
    """One method on one task: inputs are images, or for `linear` final tokens computed once."""

    def __init__(self, options, method):
        self.options, self.method = options, method
        self.device = torch.device(options.device)
        self.preparation = 0.0
        self.backbone = None

    def load(self, name, keep=True):
        split = Split(self.options.task, name, self.options.size, keep)
        if self.method == "linear":
            self.replace_by_tokens(split)
        return split

    @torch.no_grad()
    def replace_by_tokens(self, split):
        start = time.monotonic()
        if self.backbone is None:
            self.backbone = build_model(self.options, 1).to(self.device).eval()
        tokens = []
        for rows in torch.arange(len(split)).split(TEST_BATCH):
            features = self.backbone.forward_features(self.normalised(split.images(rows)))
            tokens.append(self.backbone.forward_head(features, pre_logits=True).cpu())
        split.kept = torch.cat(tokens)
        self.preparation += time.monotonic() - start

    def normalised(self, images):
        if images.is_floating_point():
            return images.to(self.device)
        mean, std = (torch.tensor(values, device=self.device)[:, None, None]
                     for values in (self.options.mean, self.options.std))
        return (images.to(self.device).float() / 255 - mean) / std

    def synchronise(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def train(self, split, peak, classes):
        """The trained model and the seconds that an epoch takes."""
        options = self.options
        torch.manual_seed(options.seed)
        model = for_method(build_model(options, classes), options, self.method)
        model.to(self.device).train()
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW([
            {"params": [p for name, p in trained if not name.endswith("bias")],
             "weight_decay": options.weight_decay},
            {"params": [p for name, p in trained if name.endswith("bias")], "weight_decay": 0.0}])
        self.parameters = sum(p.numel() for _, p in trained)
        steps_per_epoch = len(split) // options.batch_size
        if steps_per_epoch == 0:
            raise SystemExit(f"{len(split)} images are fewer than a batch of {options.batch_size}")
        steps = options.steps or options.epochs * steps_per_epoch
        order = torch.Generator().manual_seed(options.seed)
        start = time.monotonic()
        for step in range(steps):
            epoch, position = divmod(step, steps_per_epoch)
            if position == 0:
                shuffled = torch.randperm(len(split), generator=order)
                rate = learning_rate(epoch, options.epochs, options.warmup_epochs, peak)
                for group in optimizer.param_groups:
                    group["lr"] = rate
            rows = shuffled[position * options.batch_size:][:options.batch_size]
            logits = model(self.normalised(split.images(rows)))
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(logits, split.labels[rows].to(self.device)).backward()
            optimizer.step()
        self.synchronise()
        return model, (time.monotonic() - start) / steps * steps_per_epoch

    @torch.no_grad()
    def accuracy(self, model, split):
        model.eval()
        hits = 0
        for rows in torch.arange(len(split)).split(TEST_BATCH):
            predictions = model(self.normalised(split.images(rows))).argmax(1).cpu()
            hits += int((predictions == split.labels[rows]).sum())
        return 100 * hits / len(split)

    def choose(self, classes):
        rates = self.options.learning_rate
        if len(rates) == 1 or self.options.steps:
            return rates[0]
        train, val = self.load("train800"), self.load("val200")
        scores = {rate: self.accuracy(self.train(train, rate, classes)[0], val) for rate in rates}
        print(f"{self.method} on val200: {scores}", file=sys.stderr)
        return max(rates, key=scores.get)

    def peak_memory(self):
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 1e6
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6

    def run(self):
        train = self.load("train800val200")
        classes = int(train.labels.max()) + 1
        rate = self.choose(classes)
        model, seconds = self.train(train, rate, classes)
        memory = self.peak_memory()  # of training: testing would add its own
        score = None if self.options.steps else self.accuracy(model, self.load("test", keep=False))
        return (self.method, rate, self.parameters, round(self.preparation, 2), round(seconds, 3),
                round(self.preparation + seconds * self.options.epochs, 1), round(memory, 1), score)


def run_method(job):
    options, method = job
    return Experiment(options, method).run()


def numbers(text):
    return [float(part) for part in text.split(",")]


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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    options.method = options.method.split(",")
    unknown = set(options.method) - set(METHODS)
    if unknown:
        parser.error(f"unknown method {sorted(unknown)}; there are {', '.join(METHODS)}")
    return options


def main():
    options = parse_arguments()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        for row in pool.imap(run_method, [(options, method) for method in options.method]):
            writer.writerow(row)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
