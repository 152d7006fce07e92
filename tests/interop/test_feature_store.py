"""Stores as h5py and numpy see them. The formulas are those of example_store.cpp."""

import hashlib
import json
import subprocess

import h5py
import numpy as np
import pytest

from checked_file import crc32c
from paths import tool

ROWS, LAYERS, TOKENS, DIM = 11, 3, 5, 6
BAD_ROW = 3


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    subprocess.run([tool("make_example_stores"), folder], check=True)
    return folder


def expected_features():
    row = np.arange(ROWS)[:, None]
    element = np.arange(LAYERS * TOKENS * DIM)[None, :]
    values = ((31 * row + 7 * element) % 201 - 100) / 16
    values[BAD_ROW] = 0
    return values.reshape(ROWS, LAYERS, TOKENS, DIM)


@pytest.mark.parametrize(
    "name, h5py_type", [("fp16", "float16"), ("bf16", "float32"), ("fp32", "float32")]
)
def test_features(stores, name, h5py_type):
    with h5py.File(stores / f"{name}.h5") as store:
        features = store["features"]
        assert store.attrs["dtype"] == name
        assert features.dtype == h5py_type
        assert features.id.get_type().get_size() == (4 if name == "fp32" else 2)
        assert features.chunks is None and features.compression is None
        assert features.id.get_offset() % 4096 == 0
        assert np.array_equal(features[...], expected_features())


@pytest.mark.parametrize("name", ["fp16", "bf16", "fp32"])
def test_statistics_equal_numpy(stores, name):
    with h5py.File(stores / f"{name}.h5") as store:
        stored = store["row_state"][...] == 1
        tokens = expected_features()[stored].transpose(1, 0, 2, 3).reshape(LAYERS, -1, DIM)
        np.testing.assert_allclose(store["statistics/mean"], tokens.mean(1), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(store["statistics/std"], tokens.std(1), rtol=1e-6)


def test_rows(stores):
    with h5py.File(stores / "fp16.h5") as store:
        state = np.ones(ROWS, np.uint8)
        state[BAD_ROW] = 2
        assert store["row_state"].dtype == np.uint8
        assert np.array_equal(store["row_state"], state)
        ids = [f"class {row % 3}/bild_ü_{row}.jpg" for row in range(ROWS)]
        assert list(store["sample_id"].asstr()) == ids
        assert np.array_equal(store["view"], np.arange(ROWS) % 2)
        for row in range(ROWS):
            digest = hashlib.sha256(f"image {row}".encode()).digest()
            assert store["image_digest"][row].tobytes() == digest
            crc = crc32c(store["features"][row].tobytes())
            assert store["row_crc32c"][row] == crc
            # State, CRC, no picture's CRC, digest.
            check = state[row].tobytes() + crc.to_bytes(4, "little") + bytes(4) + digest
            assert store["row_check"][row] == crc32c(check)


def test_labels(stores):
    with h5py.File(stores / "fp16.h5") as store:
        assert json.loads(store["labels"].attrs["columns"]) == ["species", "label"]
        assert store["labels/species"].dtype == np.int32
        assert np.array_equal(store["labels/species"], np.arange(ROWS) % 4 - 1)
        assert np.array_equal(store["labels/label"], np.arange(ROWS) * 7 % 10)
        assert list(store["classes/species"].asstr()) == ["Äpfel", "Birnen", "Kirschen"]
        assert "label" not in store["classes"]


def test_backbone(stores):
    with h5py.File(stores / "fp16.h5") as store:
        backbone = store["backbone"]
        assert np.array_equal(backbone["norm_weight"], 1 + 0.25 * np.arange(DIM))
        assert np.array_equal(backbone["norm_bias"], -1 + 0.5 * np.arange(DIM))
        assert list(backbone["layers"]) == [0, 2, 4]
        assert dict(backbone.attrs) == {
            "name": "vit 4x6, 2 heads, patch 16, 32x32",
            "weights_sha256": "a" * 64,
            "depth": 4,
            "prefix_tokens": 1,
            "has_cls_token": 1,
            "grid_height": 2,
            "grid_width": 2,
            "norm_eps": 1e-6,
        }


def test_attributes(stores):
    with h5py.File(stores / "fp16.h5") as store:
        attributes = dict(store.attrs)
        config = json.loads(attributes["config"])
        assert config["run"] == {"batch_size": 4, "device": "cpu"}
        canonical = json.dumps(config["features"], sort_keys=True, separators=(",", ":"))
        assert attributes["config_hash"] == hashlib.sha256(canonical.encode()).hexdigest()
        assert attributes["format"] == "LAST feature store"
        assert attributes["format_version"] == 2
        assert attributes["created_by"] == "extractor 0.1.0"
        assert attributes["image_list_sha256"] == "b" * 64
        assert (attributes["shard_index"], attributes["shard_count"]) == (0, 1)
        assert (attributes["first_row"], attributes["total_rows"]) == (0, ROWS)
        assert attributes["features_offset"] == store["features"].id.get_offset()


def test_footer(stores):
    """FORMAT.md (6), byte by byte."""
    data = (stores / "fp16.h5").read_bytes()
    footer = data[-512:]
    number = lambda offset, size: int.from_bytes(footer[offset : offset + size], "little")
    with h5py.File(stores / "fp16.h5") as store:
        offset = store["features"].id.get_offset()
        size = store["features"].id.get_storage_size()
    assert footer[:8] == b"LASTFS\r\n"
    assert (number(8, 4), number(12, 4)) == (1, 2)
    assert number(24, 8) == len(data) - 512
    assert 0 <= number(24, 8) - number(16, 8) < 4096
    assert number(32, 4) == crc32c(data[:offset] + data[offset + size : -512])
    assert (number(36, 4), number(40, 8), number(48, 8)) == (1, offset, size)
    assert not any(footer[56:508])
    assert number(508, 4) == crc32c(footer[:508])
