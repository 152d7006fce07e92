"""scripts/convert_checkpoint.py on files as people have them."""

import argparse
import decimal
import json
import pathlib
import subprocess
import sys

import numpy
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from backbone_peers import assert_same_maps, block_maps, images, randomise, run_tool
from paths import ROOT, tool
from process_memory import peaks_of
from script_runs import run_script
from tiny_stores import make_tiny_vit


def convert(source, destination, *options):
    return run_script("convert_checkpoint.py", *options, source, destination)


# As DeiT, DINO, MAE and timm save it.
TRAINING = argparse.Namespace(lr=1e-3, output_dir=pathlib.Path("runs/1"), model="deit_tiny",
                              betas=(0.9, 0.999), best=numpy.float64(71.5))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s, "epoch": 3},
                                  lambda s: {"model": s, "args": TRAINING, "epoch": 3},
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
    assert result.stderr.count("\n") == 1 and "\x1b" not in result.stderr
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


def test_objects_are_named_in_one_line(tmp_path):
    torch.save({"model": {"weight": torch.ones(3)}, "config": decimal.Decimal(1)},
               tmp_path / "other.pth")
    result = convert(tmp_path / "other.pth", tmp_path / "out.safetensors")
    assert result.returncode == 1 and "decimal.Decimal" in result.stderr
    assert result.stderr.count("\n") == 1 and "\x1b" not in result.stderr


@pytest.mark.parametrize("mapped", [True, False])
def test_every_kind_of_tensor(tmp_path, mapped):
    """Also of shared memory, transposed, without rows and without dimensions."""
    base = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    state = {"whole": base, "rows": base[1:3], "columns": base.t(), "strided": base[:, ::2],
             "half": base.half(), "bfloat": base.bfloat16(), "double": base.double(),
             "count": torch.tensor(7), "none": base[:0], "flags": base > 0,
             "bytes": torch.arange(5, dtype=torch.uint8), "trained": torch.nn.Parameter(base)}
    torch.save(state, tmp_path / "in.pth", _use_new_zipfile_serialization=mapped)
    result = convert(tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert result.returncode == 0, result.stderr
    found = load_file(tmp_path / "out.safetensors")
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_what_safetensors_has_no_room_for(tmp_path):
    for name, state in {"complex.pth": {"odd": torch.ones(2, dtype=torch.complex64)},
                        "sparse.pth": {"odd": torch.eye(3).to_sparse()},
                        "twice.pth": {"odd": {"a": torch.ones(2)}, "odd.a": torch.ones(3)}}.items():
        torch.save(state, tmp_path / name)
        result = convert(tmp_path / name, tmp_path / "out.safetensors")
        assert result.returncode == 1 and "odd" in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1 and not (tmp_path / "out.safetensors").exists()


def write_parts(folder, state):
    names = list(state)
    places = {}
    for i, part in enumerate((names[::2], names[1::2])):
        file = f"pytorch_model-{i + 1:05}-of-00002.bin"
        torch.save({name: state[name] for name in part}, folder / file)
        places.update({name: file for name in part})
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index, places


def test_parts(tmp_path):
    """As transformers saved large models before safetensors."""
    state = load_file(make_tiny_vit(tmp_path / "vit"))
    index, places = write_parts(tmp_path, state)
    result = convert(index, tmp_path / "out.safetensors")
    assert result.returncode == 0, result.stderr
    found = load_file(tmp_path / "out.safetensors")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    for change, expected in ((dict(absent=places["cls_token"]), 'lacks "absent"'),
                             (dict(absent="../other.bin"), "no file beside it"),
                             (dict(absent="missing.bin"), "missing.bin")):
        index.write_text(json.dumps({"weight_map": {**places, **change}}))
        result = convert(index, tmp_path / "out.safetensors")
        assert result.returncode == 1 and expected in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1
    index.write_text("{}")
    assert convert(index, tmp_path / "out.safetensors").returncode == 1


def test_files_beside_the_weights_are_pointed_at(tmp_path):
    torch.save({"weight": torch.ones(3)}, tmp_path / "in.pth")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "new").mkdir()
    assert "config.json" not in convert(tmp_path / "in.pth", tmp_path / "out.safetensors").stdout
    result = convert(tmp_path / "in.pth", tmp_path / "new" / "out.safetensors")
    assert f"note: {tmp_path / 'config.json'} tells more" in result.stdout


def memory_of(source, destination):
    """Largest anonymous memory of a conversion, in bytes."""
    process = subprocess.Popen([sys.executable, ROOT / "scripts/convert_checkpoint.py", source, destination],
                               stdout=subprocess.DEVNULL)
    largest = peaks_of(process)["RssAnon"]
    assert process.returncode == 0
    return largest


def test_weights_are_not_in_memory(tmp_path):
    used = {}
    for count in (1, 16):  # of 16 MiB each
        torch.save({f"weight{i}": torch.zeros(2**22) for i in range(count)}, tmp_path / "in.pth")
        used[count] = memory_of(tmp_path / "in.pth", tmp_path / "out.safetensors")
        (tmp_path / "out.safetensors").unlink()
    assert used[16] - used[1] < 64 * 2**20, used


def test_a_write_that_fails_leaves_nothing(tmp_path):
    torch.save({"weight": torch.ones(3)}, tmp_path / "in.pth")
    result = convert(tmp_path / "in.pth", tmp_path / "none" / "out.safetensors")
    assert result.returncode == 1 and result.stderr.count("\n") == 1, result.stderr
    assert "can't write" in result.stderr


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.pth").write_text("not a checkpoint")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 1}, tmp_path / "empty.pth")
    torch.save({"weight": torch.ones(9999)}, tmp_path / "whole.pth")
    (tmp_path / "short.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:20000])
    for name, expected in (("text.pth", "no checkpoint of PyTorch"), ("list.pth", "holds a list"),
                           ("empty.pth", "no tensor"), ("missing.pth", "No such file"),
                           ("short.pth", "damaged")):
        result = convert(tmp_path / name, tmp_path / "out.safetensors")
        assert result.returncode == 1 and name in result.stderr, name
        assert expected in result.stderr and result.stderr.count("\n") == 1, result.stderr
    assert convert(tmp_path / "list.pth", tmp_path / "out.bin").returncode == 1
