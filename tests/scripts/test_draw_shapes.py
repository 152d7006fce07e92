"""The demonstration's drawings: the same every time, and showing what their labels say."""

import csv
import subprocess
import sys
from collections import Counter

import numpy as np
from repository import ROOT
from PIL import Image

import draw_shapes
from drawing import SIZE, draw_scene
from shapes import KINDS


def run(out, *options):
    command = [sys.executable, ROOT / "scripts" / "draw_shapes.py", "--out", out, *options]
    return subprocess.run([str(part) for part in command], check=True, capture_output=True)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_writes_lists_and_images(tmp_path):
    run(tmp_path, "--train", 5, "--val", 3, "--test", 2, "--sheet", tmp_path / "sheet.png")
    for split, size in (("train", 5), ("val", 3), ("test", 2)):
        rows = read(tmp_path / f"{split}.csv")
        assert len(rows) == size
        assert list(rows[0]) == ["path", "shape", "position", "orientation", "count"]
        for row in rows:
            image = Image.open(tmp_path / row["path"])
            assert (image.size, image.mode) == ((SIZE, SIZE), "RGB")
    assert Image.open(tmp_path / "sheet.png").size == (16 * 2 * SIZE, 8 * 2 * SIZE)


def test_same_seed_same_bytes_and_smaller_set_is_a_beginning(tmp_path):
    sizes = ("--val", 1, "--test", 1)
    run(tmp_path / "a", "--train", 6, *sizes)
    run(tmp_path / "b", "--train", 3, *sizes)
    run(tmp_path / "c", "--train", 3, *sizes, "--seed", 1)
    assert read(tmp_path / "a/train.csv")[:3] == read(tmp_path / "b/train.csv")
    pixels = {name: [(tmp_path / name / row["path"]).read_bytes()
                     for row in read(tmp_path / name / "train.csv")[:3]] for name in "abc"}
    assert pixels["a"] == pixels["b"]
    assert pixels["a"] != pixels["c"]


def test_a_set_with_other_options_is_drawn_anew(tmp_path):
    run(tmp_path, "--train", 1, "--val", 1, "--test", 1)
    assert b"already drawn" in run(tmp_path, "--train", 1, "--val", 1, "--test", 1).stderr
    run(tmp_path, "--train", 2, "--val", 1, "--test", 1)
    assert len(read(tmp_path / "train.csv")) == 2


def test_labels_cover_all_classes_evenly():
    labels = [draw_shapes.draw_sample(0, "train", number)[1] for number in range(600)]
    for column, classes in zip(zip(*labels), (len(KINDS), 16, 8, 6)):
        counts = Counter(column)
        assert len(counts) == classes
        assert max(counts.values()) < 2.2 * 600 / classes


def thing_pixels(image):
    """Where the thing is, in a scene without berries: by far the most saturated colours."""
    pixels = np.asarray(image, float)
    saturation = (pixels.max(2) - pixels.min(2)) / np.maximum(pixels.max(2), 1)
    return saturation > 0.6


def test_the_thing_lies_where_its_position_says():
    found = 0
    for number in range(200):
        image, (_, position, _, count) = draw_shapes.draw_sample(0, "test", number)
        mask = thing_pixels(image)
        if count > 0 or mask.sum() < 30:
            continue
        y, x = np.argwhere(mask).mean(0)
        column, row = "abcd".index(position[0]), int(position[1]) - 1
        side = (SIZE - 2 * draw_shapes.MARGIN) / draw_shapes.SQUARES
        assert abs(x - draw_shapes.MARGIN - (column + 0.5) * side) < 0.75 * side
        assert abs(SIZE - y - draw_shapes.MARGIN - (row + 0.5) * side) < 0.75 * side
        found += 1
    assert found > 10


def test_degrees_turn_clockwise_from_up():
    """A mushroom's stem is white: its colour lies where it points."""
    for degrees, axis, sign in ((0, 0, -1), (90, 1, 1), (180, 0, 1), (270, 1, -1)):
        offsets = []
        for seed in range(8):
            rng = np.random.default_rng(seed)
            image = draw_scene(rng, "mushroom", "plain", (32.0, 32.0), degrees, 0)
            offsets.append(np.argwhere(thing_pixels(image)).mean(0)[axis] - 31.5)
        assert sign * np.median(offsets) > 2
