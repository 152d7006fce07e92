"""FlexiViT, whose patches and positions timm resamples bilinearly, also out of Google's .npz files; what
the names of timm's models say about epsilon and tokens; tokens that a file lacks."""
import json
import subprocess

import numpy as np
import pytest
import timm
import torch
import transformers
from safetensors.torch import load_file, save_file

from backbone_peers import (assert_same_maps, block_maps, images, randomise, run_tool, save_state,
                            small_model, timm_maps, transformers_blocks)
from paths import tool
from test_backbone_eva import DINOV3, eva, meta_names
from test_backbone_evidence import decision
from test_backbone_google import flax_names

TINY = dict(embed_dim=32, depth=3, num_heads=4, num_classes=5)


def load_by_timm(path, patch, size):
    """As create_model(pretrained=True) loads the file of a published FlexiViT."""
    overlay = dict(file=str(path), custom_load=path.suffix == ".npz", num_classes=5)
    return timm.create_model("flexivit_small", pretrained=True, pretrained_cfg_overlay=overlay,
                             img_size=size, patch_size=patch, **TINY).eval()


@pytest.mark.parametrize("patch,size", [(8, (48, 48)), (24, (72, 48)), ((12, 20), (60, 60))])
@pytest.mark.parametrize("kind", ["safetensors", "npz"])
def test_flexivit(tmp_path, kind, patch, size):
    model = randomise(timm.create_model("flexivit_small", img_size=48, **TINY))
    path = tmp_path / f"model.{kind}"
    if kind == "npz":
        np.savez(path, **flax_names(model, True, False))
    else:
        save_state(model, path)
        (tmp_path / "config.json").write_text(json.dumps({"architecture": "flexivit_small"}))
    text = patch if isinstance(patch, int) else f"{patch[1]}x{patch[0]}"
    maps, report = run_tool(tmp_path, path, images(*size), "heads=4", f"patch-size={text}")
    assert_same_maps(maps["maps"], timm_maps(load_by_timm(path, patch, size), images(*size)))
    resampling = decision(report, "patch_resampling")
    assert resampling["value"] == "bilinear" and not resampling["assumed"]
    assert report["config"]["patch_resampling"] == "bilinear"


def test_how_patches_are_resampled_is_said(tmp_path):
    """Without a name the weights may be FlexiViT's or another model's."""
    path = tmp_path / "model.safetensors"
    save_state(small_model(), path)
    _, report = run_tool(tmp_path, path, images(48), "heads=4")
    assert report["config"]["patch_resampling"] is None
    _, report = run_tool(tmp_path, path, images(48), "heads=4", "patch-size=8")
    resampling = decision(report, "patch_resampling")
    assert resampling["value"] == "bicubic" and resampling["assumed"]
    assert resampling["option"] == "--model"
    _, report = run_tool(tmp_path, path, images(48), "heads=4", "patch-size=8",
                         "model=flexivit_base")
    assert report["config"]["patch_resampling"] == "bilinear"


@pytest.mark.parametrize("name", ["vit_small_patch16_lingbot", "vit_small_patch16_dinov3"])
def test_epsilon_by_name(tmp_path, name):
    model = randomise(eva(**{**DINOV3, "num_reg_tokens": 4}))
    save_state(model, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": name}))
    _, report = run_tool(tmp_path, tmp_path, images(56), "heads=4")
    with torch.device("meta"):
        assert report["config"]["norm_eps"] == timm.create_model(name).blocks[0].norm1.eps


def describe(weights):
    done = subprocess.run([tool("extractor"), "model", "--json", "--weights", weights, "--heads",
                           "4"], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


TOKENS = {
    "registers": ("Dinov2WithRegisters", dict(mlp_ratio=2), "embeddings.register_tokens"),
    "DINOv3": ("DINOv3ViT", dict(intermediate_size=64, num_register_tokens=2),
               "embeddings.register_tokens"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_registers_that_config_json_speaks_of(tmp_path, name):
    kind, options, token = TOKENS[name]
    config = getattr(transformers, kind + "Config")(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=48, patch_size=16,
        **options)
    model = randomise(getattr(transformers, kind + "Model")(config))
    model.save_pretrained(tmp_path)
    maps, _ = run_tool(tmp_path, tmp_path, images(48))
    assert_same_maps(maps["maps"], block_maps(model, transformers_blocks(model), images(48)))
    state = load_file(tmp_path / "model.safetensors")
    del state[token]
    save_file(state, tmp_path / "model.safetensors")
    error = describe(tmp_path)
    assert f'"{token}" is missing: config.json speaks of' in error and error.count("\n") == 1
    (tmp_path / "config.json").unlink()
    notes = describe(tmp_path)["notes"]
    assert any("the file has no registers" in note for note in notes)


@pytest.mark.parametrize("token", ["cls_token", "reg_token"])
def test_tokens_that_the_name_speaks_of(tmp_path, token):
    model = small_model(reg_tokens=4, no_embed_class=True)
    state = {k: v.clone() for k, v in model.state_dict().items() if k != token}
    save_file(state, tmp_path / "model.safetensors")
    what = {"cls_token": "cls token", "reg_token": "registers"}[token]
    assert any(f"the file has no {what}" in note for note in describe(tmp_path)["notes"])
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_base_patch14_reg4_dinov2"}))
    assert f'tensor "{token}" is missing: config.json' in describe(tmp_path)
    arguments = {"class_token": token != "cls_token", "reg_tokens": 4 * (token != "reg_token")}
    (tmp_path / "config.json").write_text(json.dumps(
        {"architecture": "vit_base_patch14_reg4_dinov2", "model_args": arguments}))
    assert not any("the file has no" in note for note in describe(tmp_path)["notes"])


def test_models_without_tokens_are_no_news(tmp_path):
    """Where pos_embed counts the tokens, or attention pooling stands in for them."""
    for options in (dict(), dict(class_token=False, global_pool="map")):
        save_state(small_model(**options), tmp_path / "model.safetensors")
        assert not any("the file has no" in note for note in describe(tmp_path)["notes"])


def test_bias_masks_are_multiplied(tmp_path):
    """As Meta's model does it; published masks have 1 and 0."""
    model = randomise(eva(**DINOV3))
    state = {k: v.contiguous().clone() for k, v in meta_names(model).items()}
    save_file(state, tmp_path / "model.safetensors")
    expected, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(56))
    for name in [name for name in state if name.endswith("bias_mask")]:
        state[name][:32] = 0.5
        state[name.removesuffix("_mask")][:32] *= 2
    save_file(state, tmp_path / "model.safetensors")
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(56))
    assert_same_maps(maps["maps"], expected["maps"].unbind(1))


def test_no_final_norm_is_said_by_model_too(tmp_path):
    state = {k: v for k, v in small_model().state_dict().items() if not k.startswith("norm.")}
    save_file(state, tmp_path / "model.safetensors")
    assert any("no final norm" in note for note in describe(tmp_path)["notes"])


def test_heads_by_size_are_said(tmp_path):
    """Models of one size may have different heads, as DeiT's and MoCo v3's ViT-S have."""
    save_state(small_model(embed_dim=192, depth=12, num_heads=3), tmp_path / "model.safetensors")
    report = json.loads(subprocess.run(
        [tool("extractor"), "model", "--json", "--weights", tmp_path / "model.safetensors"],
        capture_output=True, text=True, check=True).stdout)
    assert any("3 attention heads" in note and "--heads" in note for note in report["notes"])
    assert not any("attention heads" in note for note in describe(tmp_path)["notes"])
