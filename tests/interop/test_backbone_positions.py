"""Images of another size, each as the library does it whose files they are."""
import copy

import numpy as np
import pytest
import scipy.ndimage
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch.nn.functional import interpolate

from backbone_peers import (assert_same_maps, block_maps, images, randomise, run_tool, save_state,
                            small_model, timm_maps)
from test_backbone_evidence import decision
from test_backbone_google import OTHERS, flax_names, write_npz


def resampled(positions, prefix, new, **options):
    """positions [1, prefix + n, D] for a grid of `new` patches."""
    side = int((positions.shape[1] - prefix) ** 0.5)
    grid = positions[:, prefix:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if options.pop("dino", False):  # dino/vision_transformer.py, interpolate_pos_encoding
        options["scale_factor"] = tuple((length + 0.1) / side for length in new)
    else:
        options["size"] = new
    grid = interpolate(grid, **options).flatten(2).transpose(1, 2)
    return torch.cat([positions[:, :prefix], grid], 1)


def with_positions(model, size, positions):
    other = copy.deepcopy(model)
    other.set_input_size(img_size=size)
    other.pos_embed.data = positions
    return other


def torchvision_model(size):
    return torchvision.models.VisionTransformer(
        image_size=size, patch_size=16, num_layers=3, num_heads=4, hidden_dim=32, mlp_dim=64)


def test_torchvision_at_another_size(tmp_path):
    """torchvision's own function for it, which keeps the corners where they are."""
    model = randomise(torchvision_model(48))
    save_state(model, tmp_path / "model.safetensors")
    larger = torchvision_model(80).eval()
    larger.load_state_dict(torchvision.models.vision_transformer.interpolate_embeddings(
        80, 16, model.state_dict()))
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(80), "heads=4")
    assert_same_maps(maps["maps"], block_maps(larger, larger.encoder.layers, images(80)))
    assert decision(report, "pos_embed")["value"] == "torchvision"


def test_torchvision_not_square(tmp_path):
    """Which torchvision itself can't: z_0 by the formula."""
    model = randomise(torchvision_model(48))
    save_state(model, tmp_path / "model.safetensors")
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(32, 80), "heads=4")
    positions = resampled(model.encoder.pos_embedding.detach(), 1, (2, 5), mode="bicubic",
                          align_corners=True)
    with torch.no_grad():
        patches = model.conv_proj(images(32, 80)).flatten(2).transpose(1, 2)
        first = torch.cat([model.class_token.expand(2, -1, -1), patches], 1) + positions
    assert_same_maps(maps["maps"][:, :1], [first])


NPZ = [("", False, False), ("params/", True, False), ("params/img/", True, True)]


@pytest.mark.parametrize("prefix,big_vision,stacked", NPZ)
@pytest.mark.parametrize("size", [(64, 80), (32, 32)])
def test_npz_as_timm_loads_it(tmp_path, prefix, big_vision, stacked, size):
    options = dict(class_token=False, global_pool="avg", fc_norm=False) if "img" in prefix else dict(
        no_embed_class=big_vision)
    path = tmp_path / "weights.npz"
    write_npz(path, small_model(**options), prefix, big_vision, stacked)
    peer = timm.models.vision_transformer.VisionTransformer(
        img_size=size, patch_size=16, embed_dim=32, depth=3, num_heads=4, num_classes=5,
        **options).eval()
    peer.load_pretrained(str(path))
    maps, report = run_tool(tmp_path, path, images(*size))
    assert_same_maps(maps["maps"], timm_maps(peer, images(*size)))
    assert decision(report, "pos_embed")["value"] == "timm-npz"
    assert decision(report, "pos_embed")["assumed"]


@pytest.mark.parametrize("prefix,big_vision,stacked", NPZ)
def test_npz_as_google_does_it(tmp_path, prefix, big_vision, stacked):
    """Both of Google's projects resample positions by scipy's zoom of order 1."""
    options = dict(class_token=False, global_pool="avg", fc_norm=False) if "img" in prefix else dict(
        no_embed_class=big_vision)
    model, tokens = small_model(**options), 0 if big_vision else 1
    flax = flax_names(model, big_vision, stacked)
    np.savez(tmp_path / "weights.npz", **{prefix + k: v for k, v in flax.items()}, **OTHERS[prefix])
    positions = model.pos_embed.detach()
    grid = scipy.ndimage.zoom(positions[0, tokens:].reshape(3, 3, 32).numpy(), (4 / 3, 5 / 3, 1),
                              order=1)
    other = with_positions(model, (64, 80), torch.cat(
        [positions[:, :tokens], torch.from_numpy(grid).reshape(1, -1, 32)], 1))
    maps, _ = run_tool(tmp_path, tmp_path / "weights.npz", images(64, 80), "pos-embed=big-vision")
    assert_same_maps(maps["maps"], timm_maps(other, images(64, 80)))


@pytest.mark.parametrize("size", [(48, 48), (64, 64), (32, 80)])
def test_dino_training_checkpoints(tmp_path, size):
    """What lies beside the teacher's backbone shows that it is DINO's, which resamples in its own way."""
    model = small_model(num_classes=0)
    state = {"teacher.backbone." + k: v.clone() for k, v in model.state_dict().items()}
    for who in ("teacher", "student"):
        state[f"{who}.head.mlp.0.weight"] = torch.ones(8, 32)
        state[f"{who}.head.last_layer.weight_v"] = torch.ones(8, 8)
    state.update({"student.module." + k: torch.zeros_like(v) for k, v in model.state_dict().items()})
    save_file(state, str(tmp_path / "model.safetensors"))
    other = model if size == (48, 48) else with_positions(model, size, resampled(
        model.pos_embed.detach(), 1, (size[0] // 16, size[1] // 16), mode="bicubic", dino=True))
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(*size), "heads=4")
    assert_same_maps(maps["maps"], timm_maps(other, images(*size)))
    mode = decision(report, "pos_embed")
    assert report["prefix"] == "teacher.backbone." and mode["value"] == "dino"
    assert not mode["assumed"] and "DINO" in mode["source"]


@pytest.mark.parametrize("size", [48, 64])
def test_flat_files_leave_the_mode_open(tmp_path, size):
    """DINO's, DeiT's and MAE's own files have timm's names: where it matters, it is said."""
    save_state(small_model(), tmp_path / "model.safetensors")
    _, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(size), "heads=4")
    assert decision(report, "pos_embed")["assumed"] == (size == 64)
    _, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(size), "heads=4",
                         "model=vit_base_patch16_224")
    assert not decision(report, "pos_embed")["assumed"]
