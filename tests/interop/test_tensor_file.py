"""Safetensors files: ours and the safetensors package read each other's, and refuse the same ones."""
import json
import struct
import subprocess

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

from checked_file import crc32c
from paths import tool

TOOL = tool("tensor_file_tool")


def copy(*paths):
    """Source, target, further pairs of them."""
    return subprocess.run([str(TOOL), *map(str, paths)], capture_output=True, text=True, check=False)


def all_refused(paths, folder):
    """Every file is refused in a line that names it, and nothing is written."""
    done = copy(*(part for path in paths for part in (path, folder / f"out.{path.name}")))
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(paths), done.stderr
    for path, line in zip(paths, lines):
        assert str(path) in line, line
    assert not list(folder.glob("out.*"))


def without_checksum(data):
    """The file as the package writes it: without the first text of the metadata, which is right."""
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    digits = header["__metadata__"].pop("crc32c")
    place = data.index(digits.encode())
    assert data[8:place] == b'{"__metadata__":{"crc32c":"'
    assert int(digits, 16) == crc32c(data[:place] + b"0" * 8 + data[place + 8:])
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + length:]


def sample(dtype):
    values = torch.arange(12).reshape(3, 4)
    return values > 5 if dtype == torch.bool else values.to(dtype)


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
          torch.int16, torch.int8, torch.uint8, torch.bool]


def test_round_trip(tmp_path):
    tensors = {str(dtype): sample(dtype) for dtype in DTYPES}
    tensors.update({"scalar": torch.tensor(3.5), "empty": torch.zeros(0, 7),
                    "five bytes": torch.arange(5, dtype=torch.uint8), "schön \"name\"": torch.ones(2)})
    save_file(tensors, str(tmp_path / "a.safetensors"), metadata={"note": "ä\n"})
    done = copy(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert done.returncode == 0, done.stderr
    ours = load_file(str(tmp_path / "b.safetensors"))
    assert ours.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert ours[name].dtype == tensor.dtype and torch.equal(ours[name], tensor), name
    with safetensors.safe_open(str(tmp_path / "b.safetensors"), "pt") as file:
        assert file.metadata().pop("note") == "ä\n"
    # larger element types first, then by name, as the package does
    assert (tmp_path / "a.safetensors").read_bytes() == without_checksum(
        (tmp_path / "b.safetensors").read_bytes())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def entry(begin=0, end=16, shape=(4,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def write(path, header, data=bytes(16), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


HOSTILE = {
    "length beyond the file": (dict(header={"a": entry()}, length=10**6), "a truncated one"),
    "length of 2^63": (dict(header={"a": entry()}, length=2**63), "a truncated one"),
    "no JSON": (dict(header=b"{\"a\": "), "not valid JSON"),
    "no object": (dict(header=b"[1, 2]"), "doesn't start with {"),
    "empty header": (dict(header=b""), "doesn't start with {"),
    "number beyond double": (dict(header=b"{\"a\": 1e999}"), "a number that is too large"),
    "not UTF-8": (dict(header=b"{\"\xff\": 1}"), "not valid JSON"),
    "offsets beyond the data": (dict(header={"a": entry(0, 20, (5,))}), "outside the file's 16"),
    "begin after end": (dict(header={"a": entry(16, 0)}), "outside the file's"),
    "negative offset": (dict(header={"a": entry(-4, 12)}), "data_offsets"),
    "fractional shape": (dict(header={"a": entry(shape=(4.0,))}), "shape"),
    "shape and bytes differ": (dict(header={"a": entry(shape=(3,))}), "12 bytes expected"),
    "product overflows": (dict(header={"a": entry(shape=(2**62, 4, 4))}), "too large"),
    "overflow to zero": (dict(header={"a": entry(0, 0, (2**32, 2**32))}, data=b""), "too large"),
    "overlap": (dict(header={"a": entry(0, 12, (3,)), "b": entry(8, 16, (2,))}), "overlap"),
    "same bytes twice": (dict(header={"a": entry(), "b": entry()}), "overlap"),
    "hole": (dict(header={"a": entry(0, 4, (1,)), "b": entry(8, 16, (2,))}), "hole"),
    "bytes left over": (dict(header={"a": entry(0, 12, (3,))}), "belong to none"),
    "unknown type": (dict(header={"a": entry(dtype="F33")}), "\"F33\" is not supported"),
    "missing field": (dict(header={"a": {"dtype": "F32", "shape": [4]}}), "data_offsets is missing"),
    "key twice": (dict(header=b"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
                              b"\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}"),
                  "twice"),
    "metadata not text": (dict(header={"__metadata__": {"a": 1}, "b": entry()}), "__metadata__"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    path = tmp_path / "bad.safetensors"
    arguments, message = HOSTILE[name]
    write(path, **arguments)
    done = copy(path, tmp_path / "out.safetensors")
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert str(path) in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()
    if name != "key twice":  # which the package reads
        with pytest.raises(Exception):
            load_file(str(path))


def test_every_truncation_is_refused(tmp_path):
    save_file({"a": torch.ones(3), "b": torch.ones(2)}, str(tmp_path / "whole.safetensors"))
    whole = (tmp_path / "whole.safetensors").read_bytes()
    paths = [tmp_path / f"cut.{size}.safetensors" for size in range(0, len(whole), 5)]
    for size, path in zip(range(0, len(whole), 5), paths):
        path.write_bytes(whole[:size])
    all_refused(paths, tmp_path)
    # A sound file among them is copied.
    done = copy(paths[0], tmp_path / "a", tmp_path / "whole.safetensors", tmp_path / "b", paths[1],
                tmp_path / "c")
    assert done.returncode == 1 and done.stderr.count("\n") == 2, done.stderr
    assert load_file(str(tmp_path / "b")).keys() == {"a", "b"}
    assert not (tmp_path / "a").exists() and not (tmp_path / "c").exists()


def test_parts(tmp_path):
    save_file({"a": torch.ones(3)}, str(tmp_path / "model-00001-of-00002.safetensors"))
    save_file({"b": torch.zeros(2)}, str(tmp_path / "model-00002-of-00002.safetensors"))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}))
    for source in (index, tmp_path):
        assert copy(source, tmp_path / "out.safetensors").returncode == 0
        joined = load_file(str(tmp_path / "out.safetensors"))
        assert joined["a"].tolist() == [1, 1, 1] and joined["b"].tolist() == [0, 0]
    index.write_text(json.dumps({"weight_map": {"b": "model-00001-of-00002.safetensors"}}))
    assert "not in" in copy(index, tmp_path / "out.safetensors").stderr
    index.write_text(json.dumps({"weight_map": {"b": "../b.safetensors"}}))
    assert "same folder" in copy(index, tmp_path / "out.safetensors").stderr


def test_pickled_files_are_not_read(tmp_path):
    torch.save({"a": torch.ones(1)}, str(tmp_path / "model.pth"))
    assert "convert_checkpoint.py" in copy(tmp_path / "model.pth", tmp_path / "out").stderr
