"""scripts/convert_checkpoint.py on files as people have them."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from paths import ROOT, tool
from tiny_stores import make_tiny_vit


def convert(source, destination):
    return subprocess.run([sys.executable, ROOT / "scripts" / "convert_checkpoint.py", source,
                           destination], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s, "epoch": 3},
                                  lambda s: {"state_dict": {"module." + k: v for k, v in s.items()}}])
def test_a_wrapped_state_dict_is_recognised(tmp_path, wrap):
    state = load_file(make_tiny_vit(tmp_path / "vit"))
    torch.save(wrap(state), tmp_path / "vit.pth")
    result = convert(tmp_path / "vit.pth", tmp_path / "out.safetensors")
    assert result.returncode == 0, result.stderr
    found = list(load_file(tmp_path / "out.safetensors").values())
    assert len(found) == len(state)
    report = subprocess.run([tool("extractor"), "model", "--weights", tmp_path / "out.safetensors",
                             "--heads", "2", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(report.stdout)["config"]["depth"] == 4


def test_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "evil"), "w"))

    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    result = convert(tmp_path / "evil.pth", tmp_path / "out.safetensors")
    assert result.returncode == 1 and result.stderr.startswith("error: ")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "out.safetensors").exists()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.pth").write_text("not a checkpoint")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 1}, tmp_path / "empty.pth")
    for name in ("text.pth", "list.pth", "empty.pth", "missing.pth"):
        result = convert(tmp_path / name, tmp_path / "out.safetensors")
        assert result.returncode == 1 and name in result.stderr, name
    assert convert(tmp_path / "list.pth", tmp_path / "out.bin").returncode == 1
