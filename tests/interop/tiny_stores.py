"""Makes small stores: a tiny random ViT, images that it can tell apart, their features."""

import json
import subprocess

import h5py
import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from paths import tool

TINY = dict(img_size=32, patch_size=8, embed_dim=32, depth=4, num_heads=2, num_classes=0)


def make_tiny_vit(folder, seed=0):
    """A randomised ViT in timm's names with the config.json that tells its heads."""
    folder.mkdir()
    torch.manual_seed(seed)
    model = timm.models.vision_transformer.VisionTransformer(**TINY)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    weights = folder / "model.safetensors"
    save_file(model.state_dict(), str(weights))
    (folder / "config.json").write_text(json.dumps({"architecture": "vision_transformer", "model_args": TINY}))
    return weights


def draw_images(folder, name, count, seed):
    """`count` images of a bright square on noise; labels: its corner, and its colour by name."""
    rng = np.random.default_rng(seed)
    lines = ["path,corner,colour"]
    (folder / name).mkdir(parents=True)
    for i in range(count):
        corner, colour = int(rng.integers(4)), int(rng.integers(3))
        pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
        y, x = 16 * (corner // 2) + 4, 16 * (corner % 2) + 4
        pixels[y:y + 8, x:x + 8] = np.eye(3, dtype=np.uint8)[colour] * 255
        Image.fromarray(pixels).save(folder / name / f"{i:03}.png")
        lines.append(f"{name}/{i:03}.png,{corner},{('red', 'green', 'blue')[colour]}")
    path = folder / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def extract_command(tiny, images, cache, *options):
    """Four rows a batch: enough batches to be stopped between them."""
    return [str(a) for a in (tool("extractor"), "run", "--weights", tiny["weights"], "--images", images,
                             "--cache", cache, "--resize", "32", "--batch-size", "4", *options)]


def extract(weights, images, cache, *options):
    subprocess.run([tool("extractor"), "run", "--weights", weights, "--images", images,
                    "--resize", "32", "--cache", cache, "--quiet", *options], check=True)
    return cache


def rows_stored(partial):
    """Rows that an unfinished store marks as stored; 0 while it can't be read yet."""
    try:
        with h5py.File(partial, "r", locking=False) as store:
            return int((store["row_state"][:] == 1).sum())
    except (OSError, KeyError):
        return 0
