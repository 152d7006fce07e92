"""scripts/convert_checkpoint.py on files as people have them."""

import json
import subprocess
import sys

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from backbone_peers import assert_same_maps, block_maps, images, randomise, run_tool
from paths import ROOT, tool
from tiny_stores import make_tiny_vit


def convert(source, destination, *options):
    return subprocess.run([sys.executable, ROOT / "scripts" / "convert_checkpoint.py", *options, source,
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


class Archive(torch.nn.Module):
    """As OpenAI publishes CLIP: a scripted model in fp16 with three numbers beside its weights."""

    def __init__(self, visual):
        super().__init__()
        self.visual = visual
        for name, number in (("input_resolution", 48), ("context_length", 77), ("vocab_size", 100)):
            self.register_buffer(name, torch.tensor(number))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_torchscript_archives(tmp_path):
    tower = randomise(open_clip.transformer.VisionTransformer(
        image_size=48, patch_size=16, width=32, layers=3, heads=4, mlp_ratio=2, output_dim=8,
        act_layer=open_clip.transformer.QuickGELU)).half()
    visual = torch.nn.Module()  # the tensors alone: nothing of the tower has to be scriptable
    for name, tensor in tower.state_dict().items():
        *path, last = name.split(".")
        place = visual
        for part in path:
            if not hasattr(place, part):
                place.add_module(part, torch.nn.Module())
            place = getattr(place, part)
        place.register_buffer(last, tensor)
    torch.jit.script(Archive(visual)).save(str(tmp_path / "clip.pt"))
    result = convert(tmp_path / "clip.pt", tmp_path / "out.safetensors")
    assert result.returncode == 1 and "--torchscript" in result.stderr
    assert not (tmp_path / "out.safetensors").exists()
    result = convert(tmp_path / "clip.pt", tmp_path / "out.safetensors", "--torchscript")
    assert result.returncode == 0, result.stderr
    assert load_file(tmp_path / "out.safetensors")["visual.conv1.weight"].dtype == torch.float16
    maps, report = run_tool(tmp_path, tmp_path / "out.safetensors", images(48), "heads=4")
    tower = tower.float()
    assert_same_maps(maps["maps"], block_maps(tower, tower.transformer.resblocks, images(48)))
    assert report["config"]["activation"] == "quick-gelu"


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.pth").write_text("not a checkpoint")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 1}, tmp_path / "empty.pth")
    for name in ("text.pth", "list.pth", "empty.pth", "missing.pth"):
        result = convert(tmp_path / name, tmp_path / "out.safetensors")
        assert result.returncode == 1 and name in result.stderr, name
    assert convert(tmp_path / "list.pth", tmp_path / "out.bin").returncode == 1
