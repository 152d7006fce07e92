#!/usr/bin/env python3
"""Turns a pickled PyTorch checkpoint (.pth, .pt, .bin) into safetensors for `extractor`.

    .venv/bin/python scripts/convert_checkpoint.py [--torchscript] IN.pth OUT.safetensors

Only tensors are read (torch.load with weights_only=True), so the file can't run code. Nested state
dicts ("model", "state_dict", "teacher", ..) keep their names with dots between them. Tensors keep
their type. IN may be the index of a checkpoint in parts (pytorch_model.bin.index.json). Needs the
whole set-up (scripts/setup.sh --full).

What transformers, timm and open_clip keep beside the weights (config.json and the like) tells
heads, epsilon, activation, mean and std: put it beside OUT too, in a folder of its own, since
`extractor` reads it for every checkpoint in the folder.

A TorchScript archive, as OpenAI's CLIP, holds a program beside its tensors. Torch has no reader for
the tensors alone: such files take --torchscript, which is for those whose source you trust.
"""

import argparse
import json
import os
import pathlib
import re
import struct
import sys
import warnings
import zipfile

import numpy
import torch

# What training programs save beside the weights: their command lines and measurements.
SCALAR = numpy.float64(0).__reduce__()[0]
HARMLESS = [argparse.Namespace, pathlib.PosixPath, numpy.dtype,
            *{type(numpy.dtype(name)) for name in ("f4", "f8", "i4", "i8", "?")},
            (SCALAR, "numpy.core.multiarray.scalar"), (SCALAR, "numpy._core.multiarray.scalar")]
SIDECARS = ("config.json", "open_clip_config.json", "preprocessor_config.json")
TYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
         torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
         torch.uint8: "U8", torch.bool: "BOOL"}


def is_torchscript(path):
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def load_parts(index):
    """The tensors that an index lists, out of the files beside it."""
    places = json.loads(index.read_text())["weight_map"]
    content = {}
    for part in sorted(set(places.values())):
        if pathlib.PurePath(part).name != part:
            raise ValueError(f"its part \"{part}\" is no file beside it")
        tensors = load(index.parent / part, torchscript=False)
        for name in (name for name, place in places.items() if place == part):
            if name not in tensors:
                raise ValueError(f"its part \"{part}\" lacks \"{name}\"")
            content[name] = tensors[name]
    return content


def load(path, torchscript):
    """The checkpoint's content: nested dicts with tensors, mapped where the file allows it."""
    if path.suffix == ".json":
        return load_parts(path)
    if is_torchscript(path):
        if not torchscript:
            raise ValueError("it is a TorchScript archive, which holds a program beside its tensors; "
                             "--torchscript loads it, if you trust its source")
        return dict(torch.jit.load(path, map_location="cpu").state_dict())
    with torch.serialization.safe_globals(HARMLESS):
        # Files from before 2020 are no zip archives and can't be mapped.
        return torch.load(path, map_location="cpu", weights_only=True,
                          mmap=zipfile.is_zipfile(path))


def reason(error):
    """One line of what torch says in many."""
    text = str(error)
    refused = re.search(r"Unsupported (?:global: GLOBAL|class) (\S+)", text)
    if refused:
        return (f"it holds a {refused[1]}, which could run code; save the model's state dict "
                "alone, where its program is at hand")
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if not isinstance(error, (ValueError, RuntimeError)) or "WeightsUnpickler" in text:
        return "it is no checkpoint of PyTorch, or it is damaged"
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines()[0]


def tensors_of(content, prefix=""):
    """(name, tensor) of every tensor in nested dicts; everything else (epochs, arguments) is skipped."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, torch.Tensor):
            yield name, value.detach()
        elif isinstance(value, dict):
            yield from tensors_of(value, name + ".")


def check(tensors):
    for name, tensor in tensors:
        if tensor.layout != torch.strided or tensor.dtype not in TYPES:
            raise ValueError(f"\"{name}\" is a {tensor.layout} tensor of {tensor.dtype}, which "
                             "safetensors has no room for")
    names = [name for name, _ in tensors]
    if len(set(names)) < len(names):
        raise ValueError(f"two of its tensors are called \"{max(names, key=names.count)}\"")


def write(tensors, path):
    """One tensor after the other, so that none is in memory twice; the file is there at once."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    tensors = sorted(tensors, key=lambda entry: (-entry[1].element_size(), entry[0]))  # aligned
    for name, tensor in tensors:
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for _, tensor in tensors:
                file.write(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--torchscript", action="store_true",
                        help="load a TorchScript archive, which may run code (OpenAI's CLIP)")
    arguments = parser.parse_args()
    if arguments.output.suffix != ".safetensors":
        sys.exit(f"error: the output \"{arguments.output}\" does not end in .safetensors")
    warnings.filterwarnings("ignore", module="torch")  # of its own past and future
    try:
        content = load(arguments.input, arguments.torchscript)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, no state dict")
        tensors = list(tensors_of(content))
        if not tensors:
            raise ValueError("it holds no tensor")
        check(tensors)
    except Exception as error:  # torch raises many kinds; each says what it found
        sys.exit(f"error: can't convert \"{arguments.input}\": {reason(error)}")
    try:
        write(tensors, arguments.output)
    except OSError as error:
        sys.exit(f"error: can't write \"{arguments.output}\": {error.strerror}")
    print(f"wrote {len(tensors)} tensors to {arguments.output}")
    for name in SIDECARS:
        source, place = arguments.input.parent / name, arguments.output.parent / name
        if source.exists() and not place.exists():
            print(f"note: {source} tells more about these weights; put it beside the new file")


if __name__ == "__main__":
    main()
