"""`extractor run --reuse OLD.h5`: what is copied and what is computed give a fresh run's bytes."""

import json
import re
import shutil
import subprocess

import h5py
import numpy as np
import pandas
import pytest

from paths import tool
from tiny_stores import make_tiny_vit


def run(tiny, images, cache, *options, status=0):
    result = subprocess.run([str(part) for part in (
        tool("extractor"), "run", "--weights", tiny["weights"], "--images", images, "--resize", "32",
        "--batch-size", "8", "--cache", cache, *options)], capture_output=True, text=True)
    assert result.returncode == status, result.stderr
    return result


def copied(result):
    return int(re.search(r"(\d+) of \d+ rows copied", result.stderr).group(1))


@pytest.fixture
def pictures(tiny, tmp_path):
    """A folder of its own with 60 images, and `write(name, indices)` that makes a list of some."""
    source = tiny["weights"].parents[1]
    shutil.copytree(source / "test", tmp_path / "test")

    def write(name, indices):
        path = tmp_path / name
        path.write_text("".join(f"test/{i:03}.png {i % 3}\n" for i in indices))
        return path

    return write


def test_equals_a_fresh_run(tiny, pictures, tmp_path):
    old = pictures("old.txt", range(0, 45))
    new_order = np.random.default_rng(0).permutation(60)  # others, and all in other batches
    new = pictures("new.txt", new_order)
    run(tiny, old, tmp_path / "old.h5")
    before = (tmp_path / "old.h5").read_bytes()
    result = run(tiny, new, tmp_path / "reused.h5", "--reuse", tmp_path / "old.h5")
    # 40 rows of OLD lie in whole batches; 56 of the new rows do.
    assert copied(result) == sum(i < 40 for i in new_order[:56])
    run(tiny, new, tmp_path / "fresh.h5")
    assert (tmp_path / "reused.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()
    assert (tmp_path / "old.h5").read_bytes() == before
    # a reused store can be reused, and a finished one is checked as ever
    again = run(tiny, new, tmp_path / "again.h5", "--reuse", tmp_path / "reused.h5")
    assert copied(again) == 56
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()
    run(tiny, new, tmp_path / "again.h5", "--reuse", tmp_path / "old.h5")


def of_another_device(source, destination):
    """A copy, repacked, that says that it was computed on a GPU."""
    with h5py.File(source) as old, h5py.File(destination, "w") as new:
        for key, value in old.attrs.items():
            new.attrs[key] = value
        config = json.loads(old.attrs["config"])
        assert config["run"]["device"] == "cpu"
        config["run"]["device"] = "cuda:0"
        new.attrs["config"] = json.dumps(config)
        for name in old:
            if name != "features":
                old.copy(name, new)
        new.create_dataset("features", data=old["features"][...], compression="gzip")


def test_another_kind_of_device_is_a_warning(tiny, pictures, tmp_path):
    images = pictures("old.txt", range(16))
    run(tiny, images, tmp_path / "old.h5", "--device", "cpu")
    of_another_device(tmp_path / "old.h5", tmp_path / "other.h5")
    for cache, warned in (("old.h5", 0), ("other.h5", 1)):
        result = run(tiny, images, tmp_path / f"from_{cache}", "--device", "cpu", "--reuse", tmp_path / cache)
        assert copied(result) == 16
        assert result.stderr.count(f'device: "cuda" in "{tmp_path / cache}", "cpu" now') == warned


def test_changed_and_renamed_images(tiny, pictures, tmp_path):
    run(tiny, pictures("old.txt", range(48)), tmp_path / "old.h5")
    (tmp_path / "test/003.png").write_bytes((tmp_path / "test/050.png").read_bytes())  # another picture
    (tmp_path / "test/004.png").write_bytes(b"damaged since")
    (tmp_path / "test/005.png").rename(tmp_path / "test/moved.png")
    new = tmp_path / "new.txt"
    new.write_text(pictures("some.txt", range(48)).read_text().replace("test/005.png", "test/moved.png"))
    result = run(tiny, new, tmp_path / "reused.h5", "--reuse", tmp_path / "old.h5", status=3)
    assert copied(result) == 46
    run(tiny, new, tmp_path / "fresh.h5", status=3)
    assert (tmp_path / "reused.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()
    assert list(pandas.read_csv(tmp_path / "reused.bad.csv").path) == ["test/004.png"]


def test_shards_views_and_thumbnails(tiny, pictures, tmp_path):
    views = ("--views", "2", "--augment", "rrc-flip", "--thumbnails")
    old, new = pictures("old.txt", range(0, 40)), pictures("new.txt", [*range(50, 30, -1), *range(10)])
    for shard in range(2):
        run(tiny, old, tmp_path / "old.h5", *views, "--shard", f"{shard}/2")
    for shard in range(3):
        run(tiny, new, tmp_path / "reused.h5", *views, "--shard", f"{shard}/3", "--reuse", tmp_path / "old.h5")
        run(tiny, new, tmp_path / "fresh.h5", *views, "--shard", f"{shard}/3")
        name = f"0000{shard}-of-00003.h5"
        assert (tmp_path / f"reused.{name}").read_bytes() == (tmp_path / f"fresh.{name}").read_bytes()


def test_the_rows_come_from_the_old_store(tiny, pictures, tmp_path):
    """Copied, not computed: an old store in which two rows are exchanged gives them back so."""
    images = pictures("old.txt", range(16))
    run(tiny, images, tmp_path / "old.h5")
    exchanged = tmp_path / "exchanged.h5"
    with h5py.File(tmp_path / "old.h5") as source, h5py.File(exchanged, "w") as store:
        for name in source:
            if name != "features":
                source.copy(name, store)
        for name, value in source.attrs.items():
            store.attrs[name] = value
        order = [1, 0, *range(2, 16)]
        features = source["features"][:][order]
        store.create_dataset("features", data=features, chunks=(1, *features.shape[1:]))
        store["row_crc32c"][:] = source["row_crc32c"][:][order]
    run(tiny, images, tmp_path / "new.h5", "--reuse", exchanged)
    with h5py.File(tmp_path / "new.h5") as store:
        assert np.array_equal(store["features"][:], features)


def test_damaged_and_foreign_stores_are_refused(tiny, pictures, tmp_path):
    images = pictures("old.txt", range(16))
    old = tmp_path / "old.h5"
    run(tiny, images, old)

    def refused(*options, reuse=old, weights=tiny, status=1):
        result = run(weights, images, tmp_path / "new.h5", "--reuse", reuse, *options, status=status)
        assert not (tmp_path / "new.h5").exists()
        return [line for line in result.stderr.splitlines() if "error: " in line][0]

    assert "store: \"fp16\"" in refused("--store", "fp32")
    assert "layers" in refused("--layers", "every:2")
    assert "preprocessing.crop" in refused("--crop", "center:40")
    assert "max_pixels" in refused("--max-pixels", "5000")
    assert "weights_sha256" in refused(weights={"weights": make_tiny_vit(tmp_path / "other", seed=3)})
    assert "missing.h5" in refused(reuse=tmp_path / "missing.h5")
    assert "another store" in refused(reuse=tmp_path / "new.h5", status=2)
    with h5py.File(old) as store:
        offset = store["features"].id.get_offset() + 5 * store["features"][0].nbytes
        label = store["labels/label"].id.get_offset()
    whole = old.read_bytes()
    old.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1:])
    assert "row 5" in refused() and "damaged" in refused()
    old.write_bytes(whole[:label] + bytes([whole[label] ^ 1]) + whole[label + 1:])
    refused()
    old.write_bytes(whole)
    run(tiny, images, tmp_path / "new.h5", "--reuse", old)
