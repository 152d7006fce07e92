"""Training of what side networks are compared with, in plain PyTorch with timm and peft.

Methods: `lora` (peft, on the qkv of every block), `linear` (a classifier on the final cls token,
computed once), `full` (everything is trained).
"""

import contextlib
import math
import resource
import statistics
import sys
import time

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from vtab_task import Split

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
        from peft import LoraConfig, get_peft_model  # large: no other method's memory has it
        config = LoraConfig(r=options.rank, lora_alpha=options.rank, target_modules=["qkv"],
                            modules_to_save=["head"])
        return get_peft_model(model, config)
    return model


class TorchMethod:
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

    def autocast(self):
        """For training only: what is trained, tests in fp32."""
        if self.options.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def synchronise(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def train(self, split, peak, classes, seed):
        """The trained model and the seconds that an epoch takes."""
        options = self.options
        torch.manual_seed(seed)
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
        order = torch.Generator().manual_seed(seed)
        start = time.monotonic()
        for step in range(steps):
            epoch, position = divmod(step, steps_per_epoch)
            if position == 0:
                shuffled = torch.randperm(len(split), generator=order)
                rate = learning_rate(epoch, options.epochs, options.warmup_epochs, peak)
                for group in optimizer.param_groups:
                    group["lr"] = rate
            rows = shuffled[position * options.batch_size:][:options.batch_size]
            with self.autocast():
                logits = model(self.normalised(split.images(rows)))
                loss = F.cross_entropy(logits, split.labels[rows].to(self.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
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
        """The best of the learning rates, and the seconds that finding it took."""
        rates = self.options.learning_rate
        if len(rates) == 1 or self.options.steps:
            return rates[0], 0.0
        start = time.monotonic()
        train, val = self.load("train800"), self.load("val200")
        scores = {}
        for rate in rates:
            model, _ = self.train(train, rate, classes, self.options.seeds[0])
            scores[rate] = self.accuracy(model, val)
            print(f"{self.method}, rate {rate:g}: {scores[rate]:.2f} % on val200", file=sys.stderr,
                  flush=True)
        return max(rates, key=scores.get), time.monotonic() - start

    def peak_memory(self):
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 1e6
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6

    def run(self):
        """A row of the table."""
        options = self.options
        train = self.load("train800val200")
        classes = int(train.labels.max()) + 1
        rate, choosing = self.choose(classes)
        seconds, scores = [], []
        for seed in options.seeds[:1] if options.steps else options.seeds:
            model, epoch_seconds = self.train(train, rate, classes, seed)
            seconds.append(epoch_seconds)
            memory = self.peak_memory()  # of training: testing would add its own
            if not options.steps:
                scores.append(self.accuracy(model, self.load("test", keep=False)))
                print(f"{self.method}, seed {seed}: {scores[-1]:.2f} % on test", file=sys.stderr,
                      flush=True)
        epoch = statistics.mean(seconds)
        if options.steps and len(options.learning_rate) > 1:
            choosing = epoch * options.epochs * len(options.learning_rate) * 0.8
        return {
            "method": self.method, "learning_rate": rate, "parameters": self.parameters,
            "preparation_seconds": self.preparation, "seconds_per_epoch": epoch,
            "total_seconds": self.preparation + choosing + epoch * options.epochs * len(options.seeds),
            "peak_memory_mb": memory, "test_accuracy": scores}
