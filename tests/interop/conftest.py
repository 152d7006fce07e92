"""Fixtures that several test files share."""

import pytest

import file_faults
from tiny_stores import draw_images, extract, make_tiny_vit


@pytest.fixture(scope="session")
def faults(tmp_path_factory):
    """The library that makes a program's file system fail, for file_faults.environment()."""
    return file_faults.build(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """{"weights", "train", "val", "test"}: paths of a checkpoint and three stores."""
    folder = tmp_path_factory.mktemp("tiny")
    paths = {"weights": make_tiny_vit(folder / "vit")}
    for seed, (name, count) in enumerate([("train", 96), ("val", 40), ("test", 60)]):
        images = draw_images(folder, name, count, seed)
        paths[name] = extract(paths["weights"], images, folder / f"{name}.h5")
    return paths
