#!/usr/bin/env python3
"""Draws the demonstration's task set: small scenes with four labels each.

A scene shows one thing among a few berries. Its labels, one column each:
  shape        which of twelve things it is (key, fish, rocket, ...)
  position     the square its centre lies in, on a 4 x 4 board: a1 (bottom left) to d4
  orientation  where it points, one of eight compass directions: N (up), NE, E, ...
  count        how many berries there are, 0 to 5
Everything else (colours, pattern, size, background, the berries' places) is chosen at random.

Writes DIR/images/SPLIT/NUMBER.png and DIR/{train,val,test}.csv (path,shape,position,orientation,
count). Image NUMBER of a split depends on the seed, the split and the number alone, so a smaller
set is the beginning of a larger one. A set that is already there is kept.
"""

import argparse
import csv
import functools
import json
import multiprocessing
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from drawing import PATTERNS, SIZE, draw_scene
from shapes import KINDS

SPLITS = ("train", "val", "test")
COLUMNS = ("shape", "position", "orientation", "count")
COMPASS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
SQUARES = 4  # squares per side of the board
MARGIN = 12.0  # pixels between the board and the image's edge
POSITION_JITTER = 0.3  # of a square, either way
ANGLE_JITTER = 12.0  # degrees, either way
MAX_COUNT = 5


def draw_sample(seed, split, number):
    """The image with this number, and its labels in the order of COLUMNS."""
    rng = np.random.default_rng([seed, SPLITS.index(split), number])
    kind = list(KINDS)[rng.integers(len(KINDS))]
    column, row = rng.integers(SQUARES, size=2)
    direction = int(rng.integers(len(COMPASS)))
    count = int(rng.integers(MAX_COUNT + 1))
    square = (SIZE - 2 * MARGIN) / SQUARES
    shift = rng.uniform(-POSITION_JITTER, POSITION_JITTER, 2)
    centre = MARGIN + (np.array([column, SQUARES - 1 - row]) + 0.5 + shift) * square
    degrees = 360.0 / len(COMPASS) * direction + rng.uniform(-ANGLE_JITTER, ANGLE_JITTER)
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    image = draw_scene(rng, kind, pattern, centre, degrees, count)
    return image, (kind, f"{'abcd'[column]}{row + 1}", COMPASS[direction], count)


def write_image(folder, seed, split, number):
    """The image's line of the list."""
    path = f"images/{split}/{number:05d}.png"
    image, labels = draw_sample(seed, split, number)
    image.save(folder / path)
    return (path, *labels)


def write_split(folder, seed, split, size):
    (folder / "images" / split).mkdir(parents=True, exist_ok=True)
    write = functools.partial(write_image, folder, seed, split)
    with multiprocessing.Pool() as processes:
        rows = processes.map(write, range(size))
    with open(folder / f"{split}.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", *COLUMNS))
        writer.writerows(rows)


def write_sheet(path, seed, rows=8, columns=16, zoom=2):
    """One picture with many training images side by side, for people."""
    sheet = Image.new("RGB", (columns * SIZE, rows * SIZE))
    for number in range(rows * columns):
        image, _ = draw_sample(seed, "train", number)
        sheet.paste(image, (number % columns * SIZE, number // columns * SIZE))
    sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.BICUBIC).save(path)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--train", type=int, default=1000, help="images (default 1000)")
    parser.add_argument("--val", type=int, default=500, help="images (default 500)")
    parser.add_argument("--test", type=int, default=2000, help="images (default 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, metavar="FILE.png",
                        help="also write an overview of the first 128 training images")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    sizes = {split: getattr(arguments, split) for split in SPLITS}
    wanted = {"seed": arguments.seed, **sizes}
    done = arguments.out / "drawn.json"
    if done.exists() and json.loads(done.read_text()) == wanted:
        print(f"{arguments.out}: already drawn", file=sys.stderr)
    else:
        done.unlink(missing_ok=True)
        for split, size in sizes.items():
            write_split(arguments.out, arguments.seed, split, size)
            print(f"{arguments.out}: {size} {split} images", file=sys.stderr)
        done.write_text(json.dumps(wanted) + "\n")
    if arguments.sheet:
        write_sheet(arguments.sheet, arguments.seed)


if __name__ == "__main__":
    main()
