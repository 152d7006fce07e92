"""Checkpoints with a tensor too few, renamed or of another shape, and values that can't be: each gives
one line that names it."""
import json
import struct
import subprocess
import zipfile

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from backbone_peers import randomise, small_model
from paths import tool
from test_backbone import HF
from test_backbone_eva import DINOV3, EVA, eva, meta_names
from test_backbone_evidence import CLIP
from test_backbone_google import flax_names


def describe(weights, *options):
    return subprocess.run([tool("extractor"), "model", "--json", "--weights", weights, "--heads", "4",
                           *options], capture_output=True, text=True, check=False)


def refused(weights, *options):
    done = describe(weights, *options)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, (done.returncode, done.stderr)
    return done.stderr


def write_transformers(folder, name, **options):
    config = getattr(transformers, name + "Config")(**HF, intermediate_size=64, **options)
    randomise(getattr(transformers, name + "Model")(config)).save_pretrained(folder)


FAMILIES = {
    "transformers-vit": lambda folder: write_transformers(folder, "ViT"),
    "transformers-clip": lambda folder: write_transformers(folder, "CLIPVision"),
    "transformers-dinov3": lambda folder: write_transformers(
        folder, "DINOv3ViT", use_gated_mlp=True, hidden_act="silu"),
    "eva": lambda folder: save_file(
        {k: v.contiguous() for k, v in randomise(eva(**EVA["EVA-02, base"])).state_dict().items()},
        folder / "model.safetensors"),
}
PARTS = {"transformers-vit": ("encoder.layer.0.attention.attention.query.bias",),
         "transformers-clip": ("encoder.layers.1.self_attn.k_proj.weight",),
         "transformers-dinov3": ("layer.0.mlp.gate_proj.weight", "layer.1.mlp.up_proj.bias"),
         "eva": ("blocks.1.attn.q_proj.bias", "blocks.0.attn.q_proj.weight",
                 "blocks.1.mlp.fc1_x.bias", "blocks.0.mlp.fc1_g.weight")}


@pytest.mark.parametrize("family", PARTS)
def test_parts_of_joined_layers_are_named(tmp_path, family):
    """backbone_test has every tensor of the committed files; here are those of other variants."""
    FAMILIES[family](tmp_path)
    path = tmp_path / "model.safetensors"
    whole = load_file(path)
    assert describe(tmp_path).returncode == 0
    for name in PARTS[family]:
        others = {key: tensor for key, tensor in whole.items() if key != name}
        save_file(others, path)
        assert f'tensor "{name}" is missing' in refused(tmp_path), name
        renamed = name.replace("weight", "wieght").replace("bias", "bais")
        save_file({**others, renamed: whole[name]}, path)
        error = refused(tmp_path)
        assert f'"{name}" is missing; the nearest name is "{renamed}"' in error, error


OTHERS = {"registers, not DINOv3's": (dict(reg_tokens=2, no_embed_class=True), "pos_embed"),
          "half of the norm in front": (CLIP, "norm_pre.weight"),
          "half of the final norm": (dict(), "norm.weight")}


@pytest.mark.parametrize("name", OTHERS)
def test_a_missing_tensor_is_no_other_model(tmp_path, name):
    options, missing = OTHERS[name]
    state = {k: v for k, v in small_model(**options).state_dict().items() if k != missing}
    save_file(state, tmp_path / "model.safetensors")
    assert f'tensor "{missing}"' in refused(tmp_path) and "is missing" in refused(tmp_path)


@pytest.mark.parametrize("name", ["DINOv3", "EVA"])
def test_the_family_of_a_missing_tensor_is_named(tmp_path, name):
    if name == "EVA":
        state, missing = randomise(eva(**EVA["EVA-01"])).state_dict(), "pos_embed"
    else:
        state, missing = meta_names(randomise(eva(**DINOV3))), "cls_token"
    save_file({k: v.contiguous() for k, v in state.items() if k != missing},
              tmp_path / "model.safetensors")
    assert f'for family {name.lower()} the tensor "{missing}" is missing' in refused(tmp_path)


HOSTILE_NAMES = ["blocks.0.attn.\nextractor: error: forged", "blocks.0.\x1b[2J\x7f", "x" * 20000,
                 "blocks.0.mlp." + "y" * 20000, "blocks.0.\x9b2J"]


@pytest.mark.parametrize("number", range(len(HOSTILE_NAMES)))
def test_names_are_quoted_and_cut(tmp_path, number):
    """One line, without control characters, in well under the seconds that comparing names took."""
    state = small_model().state_dict()
    save_file({**state, HOSTILE_NAMES[number]: torch.ones(2)}, tmp_path / "model.safetensors")
    error = refused(tmp_path)
    assert "has no place" in error and len(error) < 1000
    assert error.rstrip("\n").isprintable()
    save_file({**state, "head." + HOSTILE_NAMES[number]: torch.ones(2)},
              tmp_path / "model.safetensors")
    done = subprocess.run([tool("extractor"), "model", "--heads", "4", "--weights",
                           tmp_path / "model.safetensors"], capture_output=True, text=True,
                          check=True)
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert "error: forged" not in [line[11:24] for line in done.stdout.splitlines()]


def test_shapes_that_nothing_has_checked(tmp_path):
    """Of arrays that can't be read only the header's word is known."""
    flax = flax_names(small_model(), False, False)
    np.savez(tmp_path / "weights.npz", **flax)
    header = f"{{'descr': '>f4', 'fortran_order': False, 'shape': ({2**40}, {2**40}, 3), }}\n".encode()
    with zipfile.ZipFile(tmp_path / "weights.npz", "a") as archive:
        archive.writestr("Transformer/encoderblock_3/MultiHeadDotProductAttention_1/query/kernel.npy",
                         b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)
    error = refused(tmp_path / "weights.npz")
    assert "encoderblock_3" in error and "too large" in error, error


def test_missing_blocks_are_noticed(tmp_path):
    """A model without its last block is a model too: only the file beside it knows."""
    FAMILIES["transformers-vit"](tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if "layer.2." not in k}, path)
    error = refused(tmp_path)
    assert "has 2 blocks, config.json speaks of 3: some are missing" in error
    (tmp_path / "config.json").write_text(json.dumps(
        {"model_cfg": {"vision_cfg": {"width": 32, "layers": 3, "head_width": 8}}}))
    assert "speaks of 3" in refused(tmp_path)


BESIDE = {
    "eps negative": ({"layer_norm_eps": -1}, 'layer_norm_eps is -1; a number above 0'),
    "eps 0": ({"layer_norm_eps": 0}, "layer_norm_eps is 0;"),
    "eps text": ({"layer_norm_eps": "1e-6"}, 'layer_norm_eps is "1e-6";'),
    "size negative": ({"image_size": -48}, "image_size is -48; a whole number of 1..65536"),
    "size 0": ({"image_size": [48, 0]}, "image_size is [48,0];"),
    "size too large": ({"image_size": [2**33, 2**33]}, "image_size is [8589934592,8589934592];"),
    "no heads": ({"num_attention_heads": 0}, "num_attention_heads is 0;"),
    "channels": ({"hidden_size": 1e300}, "hidden_size is 1e+300;"),
    "nested": ({"vision_config": {"image_size": -1}}, "vision_config.image_size is -1;"),
    "timm std": ({"architecture": "vit_tiny_patch16_224", "pretrained_cfg": {"std": [1, 0, 1]}},
                 "pretrained_cfg.std is [1,0,1]; three numbers above 0"),
    "open_clip": ({"model_cfg": {"vision_cfg": {"layers": -3}}}, "model_cfg.vision_cfg.layers is -3"),
}


@pytest.mark.parametrize("name", BESIDE)
def test_impossible_values_beside_the_weights(tmp_path, name):
    values, expected = BESIDE[name]
    save_file(small_model().state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(values))
    error = refused(tmp_path)
    assert expected in error and 'config.json": ' in error, error


@pytest.mark.parametrize("mean", [[123.7, 116.3, 103.5], [-0.5, 0, 0], [0.5, 0.5]])
def test_impossible_means_of_images(tmp_path, mean):
    save_file(small_model().state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean}))
    error = refused(tmp_path)
    assert "image_mean is" in error and "three numbers of 0 to 1 expected" in error, error


def test_a_mean_without_std_is_said(tmp_path):
    save_file(small_model().state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1, 0.2, 0.3]}))
    report = json.loads(describe(tmp_path).stdout)
    assert any("a mean without a std" in note for note in report["notes"])


def test_a_tensor_that_the_index_does_not_list(tmp_path):
    """Without its registers a model is another one, and nothing else may tell."""
    state = small_model().state_dict()
    save_file(state, tmp_path / "part.safetensors")
    index = {"weight_map": {name: "part.safetensors" for name in state}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert describe(tmp_path).returncode == 0
    del index["weight_map"]["norm.bias"]
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    error = refused(tmp_path)
    assert 'tensor "norm.bias" is in "part.safetensors"' in error, error


@pytest.mark.parametrize("std", [[0, 0, 0], [1, 1], ["a", 1, 1], [1, -1, 1], 0.5])
def test_impossible_statistics_of_images(tmp_path, std):
    save_file(small_model().state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_std": std}))
    error = refused(tmp_path)
    assert 'preprocessor_config.json": image_std is' in error, error


def test_an_unknown_activation_is_asked_for(tmp_path):
    FAMILIES["transformers-vit"](tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_act": "relu"}))
    undecided = json.loads(describe(tmp_path).stdout)["undecided"]
    assert undecided == [{"what": "activation", "option": "--activation", "reason":
                          'config.json says hidden_act "relu", which this program doesn\'t know'}]
    report = json.loads(describe(tmp_path, "--activation", "gelu").stdout)
    assert report["undecided"] == [] and report["config"]["activation"] == "gelu"


def test_an_unknown_activation_of_a_gated_mlp_is_refused(tmp_path):
    FAMILIES["transformers-dinov3"](tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_act": "relu"}))
    assert 'hidden_act "relu" of a gated MLP' in refused(tmp_path)


def test_deep_nesting_is_refused(tmp_path):
    """Levels that would overflow the stack of whoever copies them by recursion."""
    save_file(small_model().state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"hidden_size": ' + "[" * 200_000 + "]" * 200_000 + "}")
    assert f'"{tmp_path}/config.json" is not a JSON object' in refused(tmp_path)
