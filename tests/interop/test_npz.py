"""NumPy archives: what numpy.savez writes is read, and hostile ones are refused."""
import io
import pathlib
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backbone_peers import images, run_tool, small_model
from test_backbone_google import flax_names
from test_tensor_file import all_refused, copy


def arrays():
    values = np.arange(24).reshape(2, 3, 4)
    return {"a/b/kernel": values.astype(np.float32), "half": values.astype(np.float16),
            "double": values.astype(np.float64), "order": np.asfortranarray(values.astype(np.float32)),
            "long": values, "int": values.astype(np.int32), "byte": values.astype(np.uint8),
            "bool": values > 5, "scalar": np.float32(2.5), "empty": np.zeros((0, 3), np.float32),
            "view": np.arange(10, dtype=np.float32)[::2]}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_array_is_read(tmp_path, save):
    save(tmp_path / "a.npz", **arrays())
    done = copy(tmp_path / "a.npz", tmp_path / "out.safetensors")
    assert done.returncode == 0, done.stderr
    found = load_file(str(tmp_path / "out.safetensors"))
    assert found.keys() == arrays().keys()
    for name, expected in arrays().items():
        assert torch.equal(found[name], torch.from_numpy(np.ascontiguousarray(expected)).reshape(
            expected.shape)), name


def test_bfloat16_as_numpy_stores_it(tmp_path):
    values = torch.arange(6).reshape(2, 3).to(torch.bfloat16)
    bits = values.view(torch.int16).numpy()
    np.savez(tmp_path / "a.npz", void=bits.view("V2"), integer=bits.view(np.uint16))
    assert copy(tmp_path / "a.npz", tmp_path / "out.safetensors").returncode == 0
    found = load_file(str(tmp_path / "out.safetensors"))
    assert torch.equal(found["void"], values) and torch.equal(found["integer"], values)


@pytest.mark.parametrize("array", [np.array(["text"]), np.zeros(3, ">f4"), np.zeros(3, np.complex64)])
def test_other_types_are_named(tmp_path, array):
    np.savez(tmp_path / "a.npz", x=array)
    error = copy(tmp_path / "a.npz", tmp_path / "out.safetensors").stderr
    assert '"x"' in error and "are not supported" in error and error.count("\n") == 1


def npy(descr="'<f4'", order="False", shape="(4,)", data=bytes(16), version=1, extra=""):
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, {extra}}}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def write(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries:
            archive.writestr(name, data)


HOSTILE = {
    "not an array": ([("a.npy", b"hello, this is text")], "no NumPy array"),
    "empty entry": ([("a.npy", b"")], "no NumPy array"),
    "another file": ([("a.txt", b"hello")], "no NumPy array"),
    "version": ([("a.npy", npy(version=4))], "version 4"),
    "header beyond the entry": ([("a.npy", b"\x93NUMPY\x01\x00\xff\xff{'descr'")], "a header of 65535"),
    "huge header": ([("a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'")], "a header of 42949"),
    "no dictionary": ([("a.npy", npy(descr="__import__('os')"))], "not that of a plain"),
    "object array": ([("a.npy", npy(descr="'|O'"))], "are not supported"),
    "structured": ([("a.npy", npy(descr="[('x', '<f4')]"))], "not that of a plain"),
    "negative shape": ([("a.npy", npy(shape="(-4,)"))], "not that of a plain"),
    "shape of a fraction": ([("a.npy", npy(shape="(4.0,)"))], "not that of a plain"),
    "key twice": ([("a.npy", npy(extra="'shape': (4,)"))], "not that of a plain"),
    "key unknown": ([("a.npy", npy(extra="'more': 1"))], "not that of a plain"),
    "too few numbers": ([("a.npy", npy(shape="(5,)"))], "20 bytes of numbers expected"),
    "too many numbers": ([("a.npy", npy(shape="(3,)"))], "12 bytes of numbers expected"),
    "product overflows": ([("a.npy", npy(shape=f"({2**62}, 4, 4)"))], "too large"),
    "overflow to zero": ([("a.npy", npy(shape=f"({2**32}, {2**32})", data=b""))], "too large"),
    "number overflows": ([("a.npy", npy(shape=f"({2**70},)"))], "not that of a plain"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives(tmp_path, name):
    entries, message = HOSTILE[name]
    write(tmp_path / "bad.npz", entries)
    done = copy(tmp_path / "bad.npz", tmp_path / "out.safetensors")
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert "bad.npz" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_an_entry_that_claims_more_than_it_can_hold(tmp_path):
    write(tmp_path / "a.npz", [("a.npy", npy(shape="(200000,)", data=bytes(800000)))],
          zipfile.ZIP_DEFLATED)
    data = bytearray((tmp_path / "a.npz").read_bytes())
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # the unpacked size
        struct.pack_into("<I", data, data.index(mark) + place, 2**32 - 2)
    (tmp_path / "a.npz").write_bytes(data)
    error = copy(tmp_path / "a.npz", tmp_path / "out.safetensors").stderr
    assert "claims to unpack from" in error and error.count("\n") == 1, error


def test_entries_that_share_bytes(tmp_path):
    """An array that holds a second entry of its archive, as archive bombs do."""
    seed = pathlib.Path(__file__).parents[1] / "fuzz" / "corpus" / "npz" / "overlap"
    (tmp_path / "a.npz").write_bytes(seed.read_bytes()[1:])
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["b"].shape == (2000,)  # a sound archive otherwise
    error = copy(tmp_path / "a.npz", tmp_path / "out.safetensors").stderr
    assert "shares bytes of the archive" in error and error.count("\n") == 1, error


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_is_found(tmp_path, compression):
    values = np.random.default_rng(0).integers(0, 9, 4000).astype(np.float32)
    buffer = io.BytesIO()
    np.save(buffer, values)
    write(tmp_path / "a.npz", [("a.npy", buffer.getvalue())], compression)
    whole = (tmp_path / "a.npz").read_bytes()
    for place in range(400, len(whole) - 200, len(whole) // 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        (tmp_path / "a.npz").write_bytes(damaged)
        error = copy(tmp_path / "a.npz", tmp_path / "out.safetensors").stderr
        assert "a damaged archive" in error and error.count("\n") == 1, (place, error)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damage_of_stacked_blocks_is_found(tmp_path, save):
    """Their arrays are read row by row, and a row has no checksum."""
    path = tmp_path / "a.npz"
    save(path, **flax_names(small_model(), True, True))
    run_tool(tmp_path, path, images(48))
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("Transformer/encoderblock/MlpBlock_0/Dense_0/kernel.npy")
    damaged = bytearray(path.read_bytes())
    damaged[entry.header_offset + entry.compress_size * 2 // 3] ^= 0x10
    path.write_bytes(damaged)
    error = run_tool(tmp_path, path, images(48), fails=True)
    assert "Dense_0/kernel" in error and "a damaged archive" in error and error.count("\n") == 1, error


def test_every_truncation_is_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", a=np.ones(3, np.float32), b=np.ones(2, np.float32))
    whole = (tmp_path / "whole.npz").read_bytes()
    paths = []
    for size in range(0, len(whole), 101):
        paths.append(tmp_path / f"cut.{size}.npz")
        paths[-1].write_bytes(whole[:size])
    all_refused(paths, tmp_path)


def test_an_array_is_there_twice(tmp_path):
    with pytest.warns(UserWarning):
        write(tmp_path / "a.npz", [("a.npy", npy()), ("a.npy", npy())])
    error = copy(tmp_path / "a.npz", tmp_path / "out.safetensors").stderr
    assert "already exists" in error and error.count("\n") == 1
