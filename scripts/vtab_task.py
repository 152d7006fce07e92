"""Reads a task folder of the VTAB-1K kind: {train800,val200,train800val200,test}.txt and images."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image


def read_list(path):
    """[(image file, class index)] of a list with lines `path label`, paths relative to the list."""
    path = Path(path)
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, label = line.rstrip().rpartition(" ")
        if not name or not label.isdigit():
            raise SystemExit(f"{path}:{number}: expected `path label`, found {line!r}")
        rows.append((path.parent / name, int(label)))
    return rows


def load_image(path, size):
    """uint8 [3, size, size]: bicubic with antialias, no crop."""
    with Image.open(path) as image:
        pixels = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)


class Split:
    """The images of one list, decoded when they are asked for, and its labels."""

    def __init__(self, folder, name, size, keep):
        rows = read_list(Path(folder) / f"{name}.txt")
        self.paths = [path for path, _ in rows]
        self.labels = torch.tensor([label for _, label in rows])
        self.size = size
        self.kept = self.decode(self.paths) if keep else None

    def __len__(self):
        return len(self.paths)

    def decode(self, paths):
        with ThreadPoolExecutor() as pool:
            return torch.stack(list(pool.map(lambda path: load_image(path, self.size), paths)))

    def images(self, rows):
        """uint8 [len(rows), 3, size, size]."""
        if self.kept is not None:
            return self.kept[rows]
        return self.decode([self.paths[row] for row in rows])
