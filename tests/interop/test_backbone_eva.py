"""EVA and DINOv3, whose blocks have rotary position embeddings, inner norms or norms behind."""
import json
from functools import partial

import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file

from backbone_peers import (assert_same_maps, block_maps, images, randomise, run_tool, save_state,
                            timm_maps, transformers_blocks)

SMALL = dict(img_size=56, patch_size=14, embed_dim=32, depth=3, num_heads=4, num_classes=5)
SWIGLU = dict(swiglu_mlp=True, mlp_ratio=4 * 2 / 3, use_rot_pos_emb=True, ref_feat_shape=(16, 16))
EVA = {
    "EVA-01": dict(mlp_ratio=2),
    "EVA-02, small": SWIGLU,
    "EVA-02, base": dict(**SWIGLU, qkv_fused=False, scale_mlp=True),
    "EVA-02-CLIP": dict(**SWIGLU, qkv_fused=False, scale_mlp=True, scale_attn_inner=True,
                        global_pool="token"),
}
ENORMOUS = dict(use_post_norm=True, mlp_ratio=2, global_pool="token")
DINOV3 = dict(dynamic_img_size=True, init_values=0.1, rope_type="dinov3", rope_temperature=100,
              rope_rotate_half=True, use_rot_pos_emb=True, use_abs_pos_emb=False, num_reg_tokens=4,
              use_fc_norm=False, norm_layer=partial(timm.layers.LayerNorm, eps=1e-5))


def eva(size=None, **options):
    return timm.models.eva.Eva(**{**SMALL, **options, **({"img_size": size} if size else {})})


def at_size(model, size, options):
    """The same weights at another image size, by timm's own loader."""
    if size == (56, 56):
        return model
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = eva(size, **options).eval()
    other.load_state_dict(timm.models.eva.checkpoint_filter_fn(state, other))
    return other


def baai_names(model):
    """timm's EVA model under BAAI's names."""
    state = {}
    for name, tensor in model.state_dict().items():
        for theirs, ours in (("mlp.fc1_g.", "mlp.w1."), ("mlp.fc1_x.", "mlp.w2."),
                             ("mlp.norm.", "mlp.ffn_ln."), ("attn.norm.", "attn.inner_attn_ln."),
                             ("q_proj.bias", "q_bias"), ("v_proj.bias", "v_bias")):
            name = name.replace(theirs, ours)
        if hasattr(model.blocks[0].mlp, "fc1_g"):
            name = name.replace("mlp.fc2.", "mlp.w3.")
        state[name] = tensor.clone()
    return state


@pytest.mark.parametrize("size", [(56, 56), (84, 42)])
@pytest.mark.parametrize("name", EVA)
def test_eva_timm_names(tmp_path, name, size):
    model = randomise(eva(**EVA[name]))
    save_state(model, tmp_path / "model.safetensors", lambda key: "visual.trunk." + key)
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(*size), "heads=4")
    assert_same_maps(maps["maps"], timm_maps(at_size(model, size, EVA[name]), images(*size)))
    assert report["family"] == "EVA-01, EVA-02 or EVA-CLIP"
    assert (report["config"]["rope"] is None) == (name == "EVA-01")


@pytest.mark.parametrize("size", [(56, 56), (84, 42)])
@pytest.mark.parametrize("name", ["EVA-01", "EVA-02, base", "EVA-02-CLIP"])
def test_eva_original_names(tmp_path, name, size):
    model = randomise(eva(**EVA[name]))
    state = {"visual." + key: tensor for key, tensor in baai_names(model).items()}
    for other in ("visual.rope.freqs_cos", "visual.blocks.0.attn.rope.freqs_sin",
                  "text.token_embedding.weight"):
        state[other] = torch.ones(3)
    save_file(state, str(tmp_path / "model.safetensors"))
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(*size), "heads=4")
    assert_same_maps(maps["maps"], timm_maps(at_size(model, size, EVA[name]), images(*size)))
    assert report["prefix"] == "visual."


@pytest.mark.parametrize("size", [(56, 56), (84, 42)])
@pytest.mark.parametrize("names", ["timm", "BAAI"])
@pytest.mark.parametrize("source", ["--model", "config.json"])
def test_eva_enormous_by_name(tmp_path, source, names, size):
    """Its size tells too; a model of that size is compared in test_backbone_sizes.py."""
    model, name = randomise(eva(**ENORMOUS)), "eva02_enormous_patch14_clip_224"
    if names == "timm":
        save_state(model, tmp_path / "model.safetensors")
    else:
        save_file({"visual." + key: tensor for key, tensor in baai_names(model).items()},
                  str(tmp_path / "model.safetensors"))
    arguments = [f"model={name}"] if source == "--model" else []
    if source == "config.json":
        (tmp_path / "config.json").write_text(json.dumps({"architecture": name}))
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(*size), "heads=4",
                            *arguments)
    assert_same_maps(maps["maps"], timm_maps(at_size(model, size, ENORMOUS), images(*size)))
    assert report["config"]["norm_place"] == "after"


def meta_names(model):
    """timm's DINOv3 model under the names of Meta's files, with what those carry besides."""
    state = {}
    for name, tensor in model.state_dict().items():
        for theirs, ours in (("reg_token", "storage_tokens"), ("gamma_1", "ls1.gamma"),
                             ("gamma_2", "ls2.gamma"), ("fc1_g", "w1"), ("fc1_x", "w2")):
            name = name.replace(theirs, ours)
        if hasattr(model.blocks[0].mlp, "fc1_g"):
            name = name.replace("mlp.fc2", "mlp.w3")
        state[name] = tensor.clone()
    dim = model.embed_dim
    for i in range(len(model.blocks)):
        name = f"blocks.{i}.attn."
        if name + "q_bias" in state:
            q, v = state.pop(name + "q_bias"), state.pop(name + "v_bias")
            state[name + "qkv.bias"] = torch.cat([q, torch.full_like(q, 5.0), v])
            state[name + "qkv.bias_mask"] = torch.cat([torch.ones(dim), torch.zeros(dim),
                                                       torch.ones(dim)])
    state["mask_token"] = torch.zeros(1, dim)
    state["rope_embed.periods"] = model.rope.periods.clone()
    return state


@pytest.mark.parametrize("size", [(56, 56), (84, 42)])
@pytest.mark.parametrize("names", ["timm", "Meta"])
@pytest.mark.parametrize("options", [dict(), dict(qkv_bias=False),
                                     dict(swiglu_mlp=True, swiglu_align_to=8)])
def test_dinov3(tmp_path, options, names, size):
    model = randomise(eva(**DINOV3, **options))
    state = model.state_dict() if names == "timm" else meta_names(model)
    save_file({k: v.contiguous() for k, v in state.items()}, str(tmp_path / "model.safetensors"))
    # Meta's files tell the heads by their periods
    arguments = ["heads=4"] if names == "timm" else []
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(*size), *arguments)
    assert_same_maps(maps["maps"], timm_maps(model, images(*size)))
    assert report["family"] == "DINOv3" and report["config"]["pos_embed"] is None
    assert report["config"]["norm_eps"] == 1e-5 and report["config"]["heads"] == 4


def test_dinov3_stored_periods_count(tmp_path):
    """Meta's released files hold periods that were rounded to bfloat16, and Meta's code uses them."""
    model = randomise(eva(**DINOV3))
    model.rope.periods = model.rope.periods.to(torch.bfloat16).float() * 1.01
    save_file(meta_names(model), str(tmp_path / "model.safetensors"))
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(56))
    assert_same_maps(maps["maps"], timm_maps(model, images(56)))


@pytest.mark.parametrize("source", ["saved", "in memory"])
@pytest.mark.parametrize("options", [dict(num_register_tokens=4),
                                     dict(use_gated_mlp=True, hidden_act="silu", key_bias=True),
                                     dict(use_gated_mlp=True, mlp_bias=False, rope_theta=50.0)])
def test_dinov3_transformers(tmp_path, options, source):
    model = randomise(transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
        image_size=56, patch_size=14, **options)))
    model.save_pretrained(tmp_path)
    if source == "in memory":
        save_state(model, tmp_path / "model.safetensors")
    for size in ((56, 56), (84, 42)):
        maps, report = run_tool(tmp_path, tmp_path, images(*size))
        assert_same_maps(maps["maps"], block_maps(model, transformers_blocks(model),
                                                  images(*size)))
    assert report["config"]["heads"] == 4 and report["family"] == "transformers DINOv3"
