#!/usr/bin/env python3
"""Turns a pickled PyTorch checkpoint (.pth, .pt, .bin) into safetensors for `extractor`.

    .venv/bin/python scripts/convert_checkpoint.py [--torchscript] IN.pth OUT.safetensors

Only tensors are read (torch.load with weights_only=True), so the file can't run code. Nested state
dicts ("model", "state_dict", "teacher", ..) keep their names with dots between them. Tensors keep
their type. Needs the whole set-up (scripts/setup.sh --full).

A TorchScript archive, as OpenAI's CLIP, holds a program beside its tensors. Torch has no reader for
the tensors alone: such files take --torchscript, which is for those whose source you trust.
"""

import argparse
import pathlib
import sys
import zipfile

import torch
from safetensors.torch import save_file


def is_torchscript(path):
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def load(path, torchscript):
    """The checkpoint's content: nested dicts with tensors in them."""
    if is_torchscript(path):
        if not torchscript:
            raise ValueError("it is a TorchScript archive, which holds a program beside its tensors; "
                             "--torchscript loads it, if you trust its source")
        return dict(torch.jit.load(path, map_location="cpu").state_dict())
    return torch.load(path, map_location="cpu", weights_only=True)


def tensors_of(content, prefix=""):
    """(name, tensor) of every tensor in nested dicts; everything else (epochs, arguments) is skipped."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, dict):
            yield from tensors_of(value, name + ".")


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
    try:
        content = load(arguments.input, arguments.torchscript)
    except Exception as error:  # torch raises many kinds; each says what it found
        sys.exit(f"error: can't read \"{arguments.input}\": {error}")
    if not isinstance(content, dict):
        sys.exit(f"error: \"{arguments.input}\" holds a {type(content).__name__}, no state dict")
    # Tensors that share memory are written twice: safetensors knows no sharing.
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in tensors_of(content)}
    if not tensors:
        sys.exit(f"error: \"{arguments.input}\" holds no tensor")
    save_file(tensors, str(arguments.output), metadata={"format": "pt"})
    print(f"wrote {len(tensors)} tensors to {arguments.output}")


if __name__ == "__main__":
    main()
