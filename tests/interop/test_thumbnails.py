"""`extractor run --thumbnails`: the pictures in the store are Pillow's, and as safe as its rows."""

import json
import signal
import subprocess

import h5py
import numpy as np
import pytest
from PIL import Image

from paths import tool
from stopped_runs import start_slowly
from tiny_stores import rows_stored


# sizes and kinds that have to come out as 64 x 64 RGB
SHAPES = [(32, 32), (200, 40), (64, 64), (5, 90), (130, 131), (64, 300), (31, 33)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thumbnails")
    rng = np.random.default_rng(0)
    lines = []
    for i, (width, height) in enumerate(SHAPES):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        if i == 2:
            image = image.convert("L")
        image.save(folder / f"{i}.{'jpg' if i == 4 else 'png'}")
        lines.append(f"{i}.{'jpg' if i == 4 else 'png'} {i % 2}")
    (folder / "bad.png").write_bytes(b"no picture")
    lines.insert(3, "bad.png 0")
    path = folder / "list.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def command(tiny, images, cache, *options):
    return [tool("extractor"), "run", "--weights", tiny["weights"], "--images", images, "--resize", "32",
            "--batch-size", "2", "--cache", cache, "--allow-bad", "1", *options]


def run(tiny, images, cache, *options, status=0):
    result = subprocess.run(command(tiny, images, cache, *options), capture_output=True, text=True)
    assert result.returncode == status, result.stderr
    return result


def expected_pictures(pictures):
    for line in pictures.read_text().splitlines():
        name = line.rsplit(" ", 1)[0]
        if name == "bad.png":
            yield np.zeros((64, 64, 3), np.uint8)
        else:
            image = Image.open(pictures.parent / name).convert("RGB")
            yield np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC))


def test_pictures_are_pillows(tiny, pictures, tmp_path):
    run(tiny, pictures, tmp_path / "a.h5", "--thumbnails")
    with h5py.File(tmp_path / "a.h5") as store:
        found = store["thumbnails"][:]
        assert found.dtype == np.uint8 and found.shape == (8, 64, 64, 3)
        for row, expected in enumerate(expected_pictures(pictures)):
            assert np.array_equal(found[row], expected), row
        assert store["thumbnail_crc32c"].shape == (8,)
        features = store["features"][:]
    run(tiny, pictures, tmp_path / "plain.h5")
    with h5py.File(tmp_path / "plain.h5") as store:
        assert "thumbnails" not in store and "thumbnail_crc32c" not in store
        assert np.array_equal(store["features"][:], features)


def test_inspect_verify_and_another_run(tiny, pictures, tmp_path):
    cache = tmp_path / "a.h5"
    run(tiny, pictures, cache, "--thumbnails")
    inspected = subprocess.run([tool("extractor"), "inspect", "--cache", cache, "--json"],
                               capture_output=True, text=True, check=True)
    assert json.loads(inspected.stdout)["thumbnails"] == 64
    text = subprocess.run([tool("extractor"), "inspect", "--cache", cache],
                          capture_output=True, text=True, check=True)
    assert "64 x 64" in text.stdout
    run(tiny, pictures, cache, "--thumbnails")  # finished: checked
    assert "thumbnails" in run(tiny, pictures, cache, status=1).stderr
    with h5py.File(cache) as store:
        offset = store["thumbnails"].id.get_offset()
    with open(cache, "r+b") as file:
        file.seek(offset + 5 * 64 * 64 * 3)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    verified = subprocess.run([tool("extractor"), "verify", "--cache", cache], capture_output=True, text=True)
    assert verified.returncode == 1 and "the thumbnail of row 5" in verified.stderr, verified.stderr


def test_resumed_and_sharded(tiny, pictures, tmp_path, faults):
    run(tiny, pictures, tmp_path / "whole.h5", "--thumbnails")
    whole = (tmp_path / "whole.h5").read_bytes()
    process = start_slowly(command(tiny, pictures, tmp_path / "a.h5", "--thumbnails"),
                           tmp_path / "a.h5", faults, rows=1, milliseconds=40)
    process.send_signal(signal.SIGTERM)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 4, messages
    assert 1 <= rows_stored(tmp_path / "a.h5.partial") < 7
    run(tiny, pictures, tmp_path / "a.h5", "--thumbnails")
    assert (tmp_path / "a.h5").read_bytes() == whole
    for shard in range(2):
        run(tiny, pictures, tmp_path / "s.h5", "--thumbnails", "--shard", f"{shard}/2")
    rows = []
    for shard in range(2):
        with h5py.File(tmp_path / f"s.0000{shard}-of-00002.h5") as store:
            rows.append(store["thumbnails"][:])
    with h5py.File(tmp_path / "whole.h5") as store:
        assert np.array_equal(np.concatenate(rows), store["thumbnails"][:])
