"""The committed models and maps are what their generator makes with the libraries of today."""
import numpy as np
import torch
from safetensors.torch import load_file

from make_backbone_reference import FOLDER, main


def read(path):
    if path.suffix == ".npz":
        return {name: torch.from_numpy(array) for name, array in np.load(path).items()}
    return load_file(path)


def test_the_generator_makes_the_committed_files(tmp_path):
    main(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in FOLDER.iterdir()}
    for path in tmp_path.iterdir():
        made, committed = read(path), read(FOLDER / path.name)
        assert made.keys() == committed.keys(), path.name
        for name, tensor in made.items():
            bound = 1e-5 * max(1.0, committed[name].abs().max().item())
            torch.testing.assert_close(tensor, committed[name], rtol=0, atol=bound, msg=path.name)
