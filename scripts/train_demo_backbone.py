#!/usr/bin/env python3
"""Trains the demonstration's backbone, data/demo_vit.safetensors, from scratch.

A ViT (64 x 64 images, patches of 8, 6 blocks, 128 channels, 4 heads) learns to tell 36 classes
apart, twelve things in three patterns each, in scenes where the thing's place, direction, colour
and size and the berries around it are noise. Three terms make it a good example of a backbone that
was trained for something else:
  cross-entropy of the class, read from the final cls token and from the final mean patch token;
  a detector's loss on each patch token after block 4: which thing lies on it, or none, which of
      its parts (front, middle, rear), and how far off the thing's centre is;
  later, the scatter of either pooled token around its class's mean: what does not tell the class,
      such as the place and the direction, is to leave the pooled tokens.
The maps of the earlier blocks still know both, which is what side networks read. Position embeddings
start as sines and cosines, since nothing in these tasks would make the tokens learn where they are.
Of the heads only the one on the cls token is kept.

The work can be cut into pieces: with --minutes, the state is kept in the work folder and the same
command goes on from there. On a two-core machine the whole takes some ten minutes.
"""

import argparse
import json
import math
import sys
import time
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import VisionTransformer

from drawing import PATTERNS, SIZE, draw_scene
from shapes import KINDS

MODEL = {"img_size": SIZE, "patch_size": 8, "embed_dim": 128, "depth": 6, "num_heads": 4}
CLASSES = [f"{kind}, {pattern}" for kind in KINDS for pattern in PATTERNS]
POSITION_SCALE = 0.5
GRID = SIZE // MODEL["patch_size"]
THING_RADIUS = 13.0  # pixels; patches whose middle is nearer to the centre count as the thing's
DETECTOR_BLOCK = 4
PARTS = 3
PART_LENGTH = 8.0  # pixels, of the middle part
PATCH_CLASSES = (len(CLASSES) + 1, PARTS + 1)
NOTHING_WEIGHT = 0.05  # most patches show nothing
DRAWING_SEED = 1000  # far from the task sets' seeds
HELD_OUT = 1000  # images, to print an accuracy
SCATTER_WEIGHT = 2.0  # in the second half of training; none before
PEAK_LEARNING_RATE = 1.5e-3
WARMUP_STEPS = 150


def draw(number):
    rng = np.random.default_rng([DRAWING_SEED, number])
    label = int(rng.integers(len(CLASSES)))
    kind, pattern = CLASSES[label].split(", ")
    centre = rng.uniform(13.0, SIZE - 13.0, 2)
    degrees = rng.uniform(0, 360)
    image = draw_scene(rng, kind, pattern, centre, degrees, int(rng.integers(6)))
    return np.asarray(image), patch_labels(label, centre, degrees), label


def patch_labels(label, centre, degrees):
    """What a detector would say, [4, G, G]: class and part of the thing on a patch, one past the
    last where there is none; from the patch to the thing's centre, right and down, in patches."""
    middle = (np.arange(GRID) + 0.5) * MODEL["patch_size"]
    x, y = middle[None, :] - centre[0], middle[:, None] - centre[1]
    ahead = x * np.sin(np.radians(degrees)) - y * np.cos(np.radians(degrees))
    part = np.digitize(ahead, (-PART_LENGTH / 2, PART_LENGTH / 2))
    on_thing = np.hypot(x, y) < THING_RADIUS
    return np.stack([np.where(on_thing, label, len(CLASSES)), np.where(on_thing, part, PARTS),
                     *np.broadcast_arrays(-x / MODEL["patch_size"], -y / MODEL["patch_size"])])


def drawings(work, count):
    """uint8 images [count, 3, SIZE, SIZE], the labels of their patches [count, 4, GRID, GRID] and
    their own [count]; drawn once, kept in the folder."""
    path = work / f"drawings-{count}.npz"
    if not path.exists():
        with Pool() as pool:
            images, patches, labels = zip(*pool.map(draw, range(count), chunksize=256))
        np.savez(path, images=np.stack(images).transpose(0, 3, 1, 2), patches=np.stack(patches).astype(np.float32),
                 labels=np.array(labels))
    stored = np.load(path)
    return [torch.from_numpy(stored[name]) for name in ("images", "patches", "labels")]


class Pretraining(torch.nn.Module):
    """The backbone with its own head on the cls token, and two more heads on patch tokens."""

    def __init__(self):
        super().__init__()
        self.vit = VisionTransformer(num_classes=len(CLASSES), **MODEL)
        for block in self.vit.blocks:  # plain products: three times as fast here on a CPU
            block.attn.fused_attn = False
        self.mean_head = torch.nn.Linear(MODEL["embed_dim"], len(CLASSES))
        self.patch_head = torch.nn.Sequential(
            torch.nn.LayerNorm(MODEL["embed_dim"]),
            torch.nn.Linear(MODEL["embed_dim"], sum(PATCH_CLASSES) + 2))
        # 64 patches of embed_dim sines and cosines; the cls token's own row stays as it is.
        grid = build_sincos2d_pos_embed([GRID, GRID], MODEL["embed_dim"])
        with torch.no_grad():
            self.vit.pos_embed[0, 1:] = POSITION_SCALE * grid

    def forward(self, images):
        vit = self.vit
        tokens = vit.blocks[:DETECTOR_BLOCK](vit.norm_pre(vit._pos_embed(vit.patch_embed(images))))
        patch_logits = self.patch_head(tokens[:, 1:])
        tokens = vit.blocks[DETECTOR_BLOCK:](tokens)
        pooled = vit.norm(tokens[:, 0]), vit.norm(tokens[:, 1:].mean(1))
        return pooled, (vit.head(pooled[0]), self.mean_head(pooled[1])), patch_logits


def scatter(features, labels):
    """Share of the features' variance that is within classes: 0 where classes are points."""
    features = features.float()
    ones = F.one_hot(labels, len(CLASSES)).to(features.dtype)
    means = (ones.T @ features) / ones.sum(0).clamp(min=1)[:, None]
    within = (features - means[labels]).square().sum(1).mean()
    return within / (features - features.mean(0)).square().sum(1).mean()


def augmented(images, patches, generator):
    """One of the eight turns and flips for the batch, and another order of the colours."""
    turns, flip = torch.randint(4, (), generator=generator), torch.rand((), generator=generator)
    for _ in range(int(turns)):  # to the left: (right, down) becomes (down, -right)
        images, patches = (torch.rot90(x, 1, (-2, -1)) for x in (images, patches))
        patches = torch.stack([patches[:, 0], patches[:, 1], patches[:, 3], -patches[:, 2]], 1)
    if flip < 0.5:
        images, patches = images.flip(-1), patches.flip(-1)
        patches[:, 2] *= -1
    images = images[:, torch.randperm(3, generator=generator)]
    return images.float() / 127.5 - 1, patches.flatten(2)


def learning_rate(step, steps):
    if step < WARMUP_STEPS:
        return PEAK_LEARNING_RATE * (step + 1) / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return PEAK_LEARNING_RATE * (0.5 + 0.5 * math.cos(math.pi * progress))


def patch_loss(logits, patches):
    """The detector's loss, for its outputs [B, G * G, .] and labels [B, 4, G * G]."""
    *scores, offsets = logits.float().split((*PATCH_CLASSES, 2), -1)
    on_thing = patches[:, 1] < PARTS
    total = F.mse_loss(offsets[on_thing], patches[:, 2:].transpose(1, 2)[on_thing])
    for out, labels in zip(scores, patches.unbind(1)):
        weights = torch.ones(out.shape[-1])
        weights[-1] = NOTHING_WEIGHT
        total = total + F.cross_entropy(out.flatten(0, 1), labels.flatten().long(), weights)
    return total


def train_step(model, optimizer, images, patches, labels, scatter_weight):
    with torch.autocast("cpu", torch.bfloat16):
        pooled, logits, patch_logits = model(images)
    entropy = sum(F.cross_entropy(out.float(), labels) for out in logits)
    dense = patch_loss(patch_logits, patches)
    spread = sum(scatter(features, labels) for features in pooled)
    optimizer.zero_grad(set_to_none=True)
    (entropy + dense + scatter_weight * spread).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return entropy.item() / 2, dense.item(), spread.item() / 2


@torch.no_grad()
def accuracies(model, images, labels):
    model.eval()
    hits = [0, 0]
    for batch, truth in zip(images.split(250), labels.split(250)):
        logits = model(batch.float() / 127.5 - 1)[1]
        hits = [h + int((out.argmax(1) == truth).sum()) for h, out in zip(hits, logits)]
    model.train()
    return [round(100 * h / len(labels), 1) for h in hits]


def export(model, path):
    """timm's names in half precision, and a config.json of the Hugging Face timm kind."""
    state = {name: value.half().contiguous() for name, value in model.vit.state_dict().items()}
    save_file(state, path, metadata={"format": "pt"})
    config = {
        "architecture": "vit_demo_patch8_64",
        "num_classes": len(CLASSES),
        "num_features": MODEL["embed_dim"],
        "global_pool": "token",
        "num_heads": MODEL["num_heads"],
        "model_args": MODEL,
        "label_names": CLASSES,
        "pretrained_cfg": {
            "input_size": [3, SIZE, SIZE],
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "num_classes": len(CLASSES),
            "pool_size": None,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
            "license": "mit",
        },
    }
    path.with_name("config.json").write_text(json.dumps(config, indent=2) + "\n")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR",
                        help="for the drawings and the state between pieces")
    parser.add_argument("--drawings", type=int, default=24000)
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=math.inf,
                        help="stop after this time; the same command goes on (default: no limit)")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    deadline = time.monotonic() + 60 * arguments.minutes
    arguments.work.mkdir(parents=True, exist_ok=True)
    images, patches, labels = drawings(arguments.work, arguments.drawings + HELD_OUT)
    held_out = images[:HELD_OUT], labels[:HELD_OUT]
    images, patches, labels = images[HELD_OUT:], patches[HELD_OUT:], labels[HELD_OUT:]

    torch.manual_seed(0)
    model = Pretraining()
    tokens = model.vit.no_weight_decay()
    named = [(name.removeprefix("vit."), p) for name, p in model.named_parameters()]
    decayed = [p for name, p in named if p.ndim > 1 and name not in tokens]
    plain = [p for name, p in named if p.ndim <= 1 or name in tokens]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05},
                                   {"params": plain, "weight_decay": 0.0}], betas=(0.9, 0.98))
    saved = arguments.work / "state.pt"
    step = 0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    while step < arguments.steps and time.monotonic() < deadline:
        generator = torch.Generator().manual_seed(step)  # a step is the same in any piece
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, arguments.steps)
        rows = torch.randint(len(images), (arguments.batch_size,), generator=generator)
        batch = augmented(images[rows], patches[rows], generator)
        weight = SCATTER_WEIGHT if step >= arguments.steps // 2 else 0.0
        losses = train_step(model, optimizer, *batch, labels[rows], weight)
        step += 1
        if step % 200 == 0:
            print(f"step {step}: cross-entropy {losses[0]:.3f}, of patches {losses[1]:.3f}, "
                  f"scatter {losses[2]:.3f}, "
                  f"held-out accuracy (cls, patches) {accuracies(model, *held_out)} %",
                  file=sys.stderr)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step},
               saved)
    if step < arguments.steps:
        print(f"stopped after step {step} of {arguments.steps}", file=sys.stderr)
        return
    export(model, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes, held-out accuracy "
          f"{accuracies(model, *held_out)[0]} %", file=sys.stderr)


if __name__ == "__main__":
    main()
