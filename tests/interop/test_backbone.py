"""Compares every map of the C++ backbone with the library that a checkpoint comes from."""
import json
import os

import open_clip
import pytest
import timm
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file

from backbone_peers import (SMALL, assert_same_maps, block_maps, images, randomise,
                            resized_open_clip, run_tool, save_state, small_model, timm_maps,
                            transformers_blocks)
from paths import SHARED
from test_backbone_google import write_npz

MODELS = {
    "plain": dict(),
    "patch 8": dict(patch_size=8),
    "patch 14": dict(patch_size=14, img_size=56),
    "patch 32": dict(patch_size=32, img_size=96),
    "patch 16x8": dict(patch_size=(16, 8)),
    "registers": dict(reg_tokens=4),
    "registers, no_embed_class": dict(reg_tokens=4, no_embed_class=True),
    "no_embed_class": dict(no_embed_class=True),
    "LayerScale": dict(init_values=0.1),
    "no cls token": dict(class_token=False, global_pool="avg"),
    "fc_norm": dict(global_pool="avg", fc_norm=True),
    "attention pooling": dict(class_token=False, global_pool="map"),
    "no qkv bias": dict(qkv_bias=False),
    "no proj bias": dict(proj_bias=False),
    "CLIP": dict(pre_norm=True, norm_layer=lambda d, **k: torch.nn.LayerNorm(d, eps=1e-5, **k)),
    "mlp ratio 3": dict(mlp_ratio=3),
    "SwiGLU": dict(mlp_layer=timm.layers.SwiGLUPacked, act_layer=torch.nn.SiLU, mlp_ratio=4),
    "everything": dict(reg_tokens=2, no_embed_class=True, init_values=0.1, pre_norm=True,
                       norm_layer=lambda d, **k: torch.nn.LayerNorm(d, eps=1e-5, **k)),
}


@pytest.mark.parametrize("name", MODELS)
def test_timm(tmp_path, name):
    model = small_model(**MODELS[name])
    save_state(model, tmp_path / "model.safetensors")
    pixels = images(*model.patch_embed.img_size)
    # only of CLIP's models the activation can't be told
    activation = ["activation=gelu"] if hasattr(model.norm_pre, "weight") else []
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", pixels, "heads=4", *activation)
    assert_same_maps(maps["maps"], timm_maps(model, pixels))
    norm = model.fc_norm if isinstance(model.norm, torch.nn.Identity) else model.norm
    assert torch.equal(maps["norm_weight"], norm.weight) and torch.equal(maps["norm_bias"], norm.bias)


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (48, 112), (112, 32)])
@pytest.mark.parametrize("name", ["plain", "registers", "no_embed_class", "no cls token"])
def test_timm_other_image_size(tmp_path, name, size):
    model = small_model(**MODELS[name])
    save_state(model, tmp_path / "model.safetensors")
    model.set_input_size(img_size=size)
    pixels = images(*size)
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", pixels, "heads=4")
    assert_same_maps(maps["maps"], timm_maps(model, pixels))
    assert any("resampled" in note for note in report["notes"])


def test_not_square_at_its_own_size(tmp_path):
    model = small_model(img_size=(48, 112))
    save_state(model, tmp_path / "model.safetensors")
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(48, 112), "heads=4")
    assert_same_maps(maps["maps"], timm_maps(model, images(48, 112)))
    assert not report["notes"]


def test_not_square_resampled(tmp_path):
    model = small_model(img_size=(48, 112))
    save_state(model, tmp_path / "model.safetensors")
    assert "--resize" in run_tool(tmp_path, tmp_path / "model.safetensors", images(64), "heads=4",
                                  fails=True)
    (tmp_path / "config.json").write_text(json.dumps(
        {"architecture": "vit_tiny_patch16_224", "model_args": {"img_size": [48, 112]}}))
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(64), "heads=4")
    model.set_input_size(img_size=(64, 64))
    assert_same_maps(maps["maps"], timm_maps(model, images(64)))
    assert report["config"]["positions"] == [1, 3, 7]


@pytest.mark.parametrize("size", [48, 64])
def test_deit_distilled(tmp_path, size):
    model = randomise(timm.models.deit.VisionTransformerDistilled(**SMALL))
    save_state(model, tmp_path / "model.safetensors", lambda name: "model." + name)
    if size != 48:
        model.set_input_size(img_size=(size, size))
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(size), "heads=4")
    assert_same_maps(maps["maps"], timm_maps(model, images(size)))
    assert report["prefix"] == "model." and report["config"]["prefix_tokens"] == 2
    assert {"model.head.weight", "model.head_dist.weight"} <= {
        tensor["name"] for tensor in report["ignored"]}


def test_deit3_names(tmp_path):
    model = small_model(no_embed_class=True, init_values=0.1)
    save_state(model, tmp_path / "model.safetensors",
               lambda name: name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"))
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4")
    assert_same_maps(maps["maps"], timm_maps(model, images(48)))


@pytest.mark.parametrize("activation", ["gelu", "gelu-tanh", "quick-gelu"])
def test_activation(tmp_path, activation):
    model = small_model(act_layer=activation.replace("-", "_"))
    save_state(model, tmp_path / "model.safetensors")
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4",
                       f"activation={activation}")
    assert_same_maps(maps["maps"], timm_maps(model, images(48)))


@pytest.mark.parametrize("precision,tolerance", [("bf16", 2e-2), ("fp16", 3e-3)])
def test_half_precision(tmp_path, precision, tolerance):
    model = small_model()
    save_state(model, tmp_path / "model.safetensors")
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4",
                       f"precision={precision}")
    assert_same_maps(maps["maps"], timm_maps(model, images(48)), tolerance, 20 * tolerance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights(tmp_path, dtype):
    model = small_model().to(dtype).float()
    save_file({k: v.to(dtype).contiguous() for k, v in model.state_dict().items()},
              str(tmp_path / "model.safetensors"))
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4")
    assert_same_maps(maps["maps"], timm_maps(model, images(48)))


@pytest.mark.parametrize("size", [224, 160])
def test_real_weights(tmp_path, size):
    path = SHARED / "weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"
    if not path.exists() and not os.environ.get("CI"):
        pytest.skip(f"no {path}")
    model = timm.create_model("vit_tiny_patch16_224", img_size=size).eval()
    state = timm.models.vision_transformer.checkpoint_filter_fn(load_file(str(path)), model)
    model.load_state_dict(state)
    maps, report = run_tool(tmp_path, path, images(size, count=3))
    # Trained maps have a few channels of large values: the bound over all would hide the others.
    assert_same_maps(maps["maps"], timm_maps(model, images(size, count=3)))
    heads = next(d for d in report["decided"] if d["what"] == "heads")
    assert heads["value"] == 3 and not heads["assumed"]


HF = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, image_size=48, patch_size=16)
TRANSFORMERS = {
    "ViT": ("ViTModel", "ViTConfig", dict(intermediate_size=64)),
    "ViT for classification": ("ViTForImageClassification", "ViTConfig",
                               dict(intermediate_size=64)),
    "ViT without qkv bias": ("ViTModel", "ViTConfig", dict(intermediate_size=64, qkv_bias=False)),
    "ViT, tanh": ("ViTModel", "ViTConfig", dict(hidden_act="gelu_pytorch_tanh")),
    "DeiT": ("DeiTModel", "DeiTConfig", dict(intermediate_size=64)),
    "DINOv2": ("Dinov2Model", "Dinov2Config", dict(mlp_ratio=2)),
    "DINOv2 SwiGLU": ("Dinov2Model", "Dinov2Config", dict(mlp_ratio=2, use_swiglu_ffn=True)),
    "DINOv2 registers": ("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig",
                         dict(mlp_ratio=2)),
    "CLIP": ("CLIPVisionModel", "CLIPVisionConfig", dict(intermediate_size=64)),
    "CLIP, GELU": ("CLIPVisionModel", "CLIPVisionConfig", dict(hidden_act="gelu")),
    "ViT-MAE": ("ViTMAEModel", "ViTMAEConfig", dict(intermediate_size=64, mask_ratio=0.0)),
    "SigLIP": ("SiglipVisionModel", "SiglipVisionConfig", dict(intermediate_size=64)),
}


@pytest.mark.parametrize("size,source", [((48, 48), "saved"), ((64, 64), "saved"),
                                         ((32, 80), "in memory")])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers(tmp_path, name, size, source):
    model_class, config_class, options = TRANSFORMERS[name]
    config = getattr(transformers, config_class)(**HF, **options)
    model = randomise(getattr(transformers, model_class)(config))
    model.save_pretrained(tmp_path)
    if source == "in memory":
        save_state(model, tmp_path / "model.safetensors")
    pixels = images(*size)
    arguments = {} if name.startswith("DINOv2") else dict(interpolate_pos_encoding=True)
    if name == "ViT-MAE":  # nothing masked, nothing shuffled
        patches = size[0] // 16 * (size[1] // 16)
        arguments["noise"] = torch.arange(2.0 * patches).reshape(2, patches)
    maps, report = run_tool(tmp_path, tmp_path, pixels)
    assert_same_maps(maps["maps"],
                     block_maps(model, transformers_blocks(model), pixels, **arguments))
    assert report["config"]["heads"] == 4


def open_clip_tower(size, quick):
    return open_clip.transformer.VisionTransformer(
        image_size=size, patch_size=16, width=32, layers=3, heads=4, mlp_ratio=2, output_dim=8,
        act_layer=open_clip.transformer.QuickGELU if quick else torch.nn.GELU)


@pytest.mark.parametrize("size", [(48, 48), (80, 32)])
@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("prefix", ["visual.", "module.visual."])
def test_open_clip(tmp_path, quick, prefix, size):
    tower = randomise(open_clip_tower(48, quick))
    save_state(tower, tmp_path / "model.safetensors", lambda name: prefix + name)
    if size != (48, 48):
        tower = resized_open_clip(tower, open_clip_tower(size, quick))
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(*size), "heads=4",
                            f"activation={'quick-gelu' if quick else 'gelu'}")
    assert_same_maps(maps["maps"], block_maps(tower, tower.transformer.resblocks, images(*size)))
    activation = next(d for d in report["decided"] if d["what"] == "activation")
    assert activation["source"] == "--activation" and not activation["assumed"]


@pytest.mark.parametrize("size", [48, 80])
def test_openai_clip(tmp_path, size):
    """What only OpenAI's archives carry beside the weights decides for QuickGELU."""
    tower = randomise(open_clip_tower(48, True)).half().float()
    state = {"visual." + name: value.half() for name, value in tower.state_dict().items()}
    numbers = dict(input_resolution=48, context_length=77, vocab_size=100)
    save_file({**state, **{name: torch.tensor(number) for name, number in numbers.items()}},
              str(tmp_path / "model.safetensors"))
    if size != 48:
        tower = resized_open_clip(tower, open_clip_tower(size, True))
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(size), "heads=4")
    assert_same_maps(maps["maps"], block_maps(tower, tower.transformer.resblocks, images(size)))
    assert report["config"]["activation"] == "quick-gelu"


@pytest.mark.parametrize("size", [48, 80])
def test_open_clip_timm_tower(tmp_path, size):
    model = small_model(class_token=False, global_pool="map")
    save_state(model, tmp_path / "model.safetensors", lambda name: "visual.trunk." + name)
    model.set_input_size(img_size=(size, size))
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(size), "heads=4")
    assert_same_maps(maps["maps"], timm_maps(model, images(size)))


@pytest.mark.parametrize("old_names", [False, True])
def test_torchvision(tmp_path, old_names):
    model = randomise(torchvision.models.VisionTransformer(
        image_size=48, patch_size=16, num_layers=3, num_heads=4, hidden_dim=32, mlp_dim=64))
    save_state(model, tmp_path / "model.safetensors", lambda name: name.replace(
        "mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2.") if old_names else name)
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4")
    assert_same_maps(maps["maps"], block_maps(model, model.encoder.layers, images(48)))


def dinov2_names(model, chunks):
    """timm's DINOv2 model under the names of Meta's files; the inverse of timm's own conversion."""
    state = {}
    for name, tensor in model.state_dict().items():
        name = name.replace("reg_token", "register_tokens")
        if isinstance(model.blocks[0].mlp, timm.layers.GluMlp):
            name = name.replace(".fc1.", ".w12.").replace(".fc2.", ".w3.")
        if chunks and name.startswith("blocks."):
            index = int(name.split(".")[1])
            name = f"blocks.{index // 2}." + name.removeprefix("blocks.")
        state[name] = tensor.clone().contiguous()
    state["mask_token"] = torch.zeros(1, model.embed_dim)
    if "register_tokens" in state:
        cls_position = torch.full((1, 1, model.embed_dim), 0.25)
        state["cls_token"] -= cls_position
        state["pos_embed"] = torch.cat([cls_position, state["pos_embed"]], 1)
    return state


@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize("size", [(56, 56), (70, 42)])
@pytest.mark.parametrize("options", [
    dict(), dict(reg_tokens=4, no_embed_class=True),
    dict(mlp_layer=timm.layers.SwiGLUPacked, act_layer=torch.nn.SiLU, mlp_ratio=4)])
def test_dinov2(tmp_path, options, size, chunks):
    model = small_model(patch_size=14, img_size=56, init_values=0.1, **options)
    save_file(dinov2_names(model, chunks), str(tmp_path / "model.safetensors"))
    if size != (56, 56):
        positions = model.pos_embed.detach()
        model.set_input_size(img_size=size)
        if "reg_tokens" not in options:
            # dinov2/models/vision_transformer.py, interpolate_pos_encoding
            grid = positions[:, 1:].reshape(1, 4, 4, 32).permute(0, 3, 1, 2)
            grid = torch.nn.functional.interpolate(
                grid, mode="bicubic", scale_factor=((5 + 0.1) / 4, (3 + 0.1) / 4))
            model.pos_embed.data = torch.cat(
                [positions[:, :1], grid.permute(0, 2, 3, 1).reshape(1, -1, 32)], 1)
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(*size), "heads=4")
    assert_same_maps(maps["maps"], timm_maps(model, images(*size)))
    assert report["family"] == "DINOv2"


def test_two_dinov2_chunks_with_the_same_block_are_refused(tmp_path):
    state = dinov2_names(small_model(), chunks=True)
    state["blocks.7.0.norm1.weight"] = state["blocks.0.0.norm1.weight"].clone()
    save_file(state, str(tmp_path / "model.safetensors"))
    error = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4", fails=True)
    assert ('tensors "blocks.0.0.norm1.weight" and "blocks.7.0.norm1.weight" are both '
            '"blocks.0.norm1.weight"') in error, error


@pytest.mark.parametrize("size", [(48, 48), (80, 64)])
@pytest.mark.parametrize("mode", ["auto", "transformers"])
def test_mae_with_decoder_is_timm(tmp_path, mode, size):
    model = small_model()
    state = {"model." + k: v.clone() for k, v in model.state_dict().items()}
    state.update({"model.mask_token": torch.ones(1, 1, 16),
                  "model.decoder_pos_embed": torch.ones(1, 10, 16),
                  "model.decoder_blocks.0.norm1.weight": torch.ones(16)})
    save_file(state, str(tmp_path / "model.safetensors"))
    positions = model.pos_embed.detach()
    model.set_input_size(img_size=size)
    if mode == "transformers" and size != (48, 48):
        # mae/util/pos_embed.py, interpolate_pos_embed, does it like transformers
        grid = torch.nn.functional.interpolate(
            positions[:, 1:].reshape(1, 3, 3, 32).permute(0, 3, 1, 2), size=(5, 4), mode="bicubic",
            align_corners=False).permute(0, 2, 3, 1).flatten(1, 2)
        model.pos_embed.data = torch.cat([positions[:, :1], grid], 1)
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(*size), "heads=4",
                            f"pos-embed={mode}")
    assert_same_maps(maps["maps"], timm_maps(model, images(*size)))
    assert report["family"] == "timm names" and len(report["ignored"]) == 5


# The smallest published widths to which timm gives the tanh form, and one that has erf: name, size.
SIGLIP = {
    "vit_base_patch32_siglip_256": 256,
    "vit_large_patch16_siglip_512": 512,
    "vit_base_patch16_siglip_256": 256,
}


@pytest.mark.parametrize("kind", ["timm", "open_clip", "npz"])
@pytest.mark.parametrize("name", SIGLIP)
def test_tanh_is_chosen_by_the_shapes(tmp_path, name, kind):
    """Real widths, since they tell, in one block of few hidden channels."""
    # timm's loader of .npz would want the attention pooling
    options = dict(global_pool="avg", fc_norm=False) if kind == "npz" else {}
    model = randomise(timm.create_model(name, depth=1, mlp_ratio=0.125, num_classes=0, **options))
    path = tmp_path / ("model.npz" if kind == "npz" else "model.safetensors")
    if kind == "npz":
        write_npz(path, model, "params/img/", True, stacked=True)
    else:
        save_state(model, path, lambda key: ("visual.trunk." if kind == "open_clip" else "") + key)
    # Smaller images take less time.
    size = SIGLIP[name] if name.startswith("vit_base_patch32") else 128
    model.set_input_size(img_size=(size, size))
    if kind == "npz" and size != SIGLIP[name]:
        model.load_pretrained(str(path))
    heads = [] if kind == "npz" else [f"heads={model.blocks[0].attn.num_heads}"]
    maps, report = run_tool(tmp_path, path, images(size, count=1), *heads)
    tanh = isinstance(model.blocks[0].mlp.act, timm.layers.GELUTanh)
    assert report["config"]["activation"] == ("gelu-tanh" if tanh else "gelu")
    assert_same_maps(maps["maps"], timm_maps(model, images(size, count=1)))
    assert tanh == (name != "vit_base_patch16_siglip_256")


@pytest.mark.parametrize("name", [
    "vit_base_patch16_clip_quickgelu_224", "vit_base_patch32_clip_224",
    "vit_base_patch32_siglip_256", "vit_base_patch16_siglip_224", "vit_so400m_patch16_siglip_gap_256",
    "vit_so400m_patch14_siglip_224", "vit_large_patch16_siglip_512", "vit_base_patch16_224"])
def test_timm_architecture_names(tmp_path, name):
    with torch.device("meta"):
        mlp = timm.create_model(name).blocks[0]
    names = {"GELU": "gelu", "GELUTanh": "gelu-tanh", "QuickGELU": "quick-gelu"}
    save_state(small_model(), tmp_path / "model.safetensors")
    _, by_option = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4",
                            f"model={name}")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": name}))
    _, by_file = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4")
    for report in (by_option, by_file):
        assert report["config"]["activation"] == names[type(mlp.mlp.act).__name__]
        assert report["config"]["norm_eps"] == mlp.norm1.eps


@pytest.mark.parametrize("change,expected", [
    (lambda s: s.pop("blocks.1.attn.qkv.bias"), '"blocks.1.attn.qkv.bias" [96] is missing'),
    (lambda s: s.update({"blocks.1.attn.qkv.bais": s.pop("blocks.1.attn.qkv.bias")}),
     '"blocks.1.attn.qkv.bais" [96] has no place in the ViTs that this program knows; leaving it out '
     'could change the features; the nearest known name is "blocks.1.attn.qkv.bias"'),
    (lambda s: s.update({"blocks.0.attn.q_norm.weight": torch.ones(8)}),
     '"blocks.0.attn.q_norm.weight" [8] has no place'),
    (lambda s: s.update({"norm.bias": torch.ones(8)}), '"norm.bias": shape [32] expected, found [8]'),
    (lambda s: s.update({"norm.bias": torch.ones(32, dtype=torch.int32)}), "found Int"),
    (lambda s: s.pop("blocks.1.ls1.gamma"), '"blocks.1.ls1.gamma" [32] is missing'),
    (lambda s: s.pop("pos_embed"), '"pos_embed" is missing'),
    (lambda s: s.pop("patch_embed.proj.weight"),
     'for family timm the tensor "patch_embed.proj.weight" is missing'),
    (lambda s: s.pop("patch_embed.proj.bias"), '"patch_embed.proj.bias" [32] is missing'),
])
def test_defects_are_named(tmp_path, change, expected):
    state = {k: v.clone() for k, v in small_model(init_values=0.1).state_dict().items()}
    change(state)
    save_file(state, str(tmp_path / "model.safetensors"))
    error = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4", fails=True)
    assert expected in error and "model.safetensors" in error and error.count("\n") == 1, error


def test_heads_are_asked_for(tmp_path):
    save_state(small_model(), tmp_path / "model.safetensors")
    error = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), fails=True)
    assert "--heads" in error
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": 4, "hidden_size": 32}))
    _, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(48))
    assert report["config"]["heads"] == 4
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": 4, "hidden_size": 64}))
    error = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), fails=True)
    assert "--heads" in error
