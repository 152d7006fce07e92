"""Variants of the families: towers of open_clip without a norm in front or with a pooling, whole models
of transformers with a backbone inside, lookalikes, and what is said of guesses."""
import functools

import open_clip
import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file

from backbone_peers import (SMALL, assert_same_maps, block_maps, images, randomise,
                            resized_open_clip, run_tool, save_state, small_model, timm_maps,
                            transformers_blocks)
from test_backbone import HF, MODELS
from test_backbone_eva import DINOV3, EVA, eva, meta_names
from test_backbone_evidence import CLIP, decision


def tower(size=48, **options):
    return open_clip.transformer.VisionTransformer(**{**dict(
        image_size=size, patch_size=16, width=32, layers=3, heads=4, mlp_ratio=2, output_dim=8),
        **options})


TOWERS = {
    "plain": dict(),
    "LayerScale": dict(ls_init_value=0.1),
    "CLIPA": dict(no_ln_pre=True, pool_type="avg", final_ln_after_pool=True),
    "CoCa": dict(attentional_pool=True, attn_pooler_heads=4, output_tokens=True),
    "CoCa, parallel": dict(attentional_pool="parallel", attn_pooler_heads=4, output_dim=32),
}


@pytest.mark.parametrize("size", [48, 80])
@pytest.mark.parametrize("name", TOWERS)
def test_open_clip_towers(tmp_path, name, size):
    model = randomise(tower(**TOWERS[name]))
    save_state(model, tmp_path / "model.safetensors", lambda key: "visual." + key)
    if size != 48:
        model = resized_open_clip(model, tower(size, **TOWERS[name]))
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(size), "heads=4",
                            "activation=gelu")
    assert_same_maps(maps["maps"], block_maps(model, model.transformer.resblocks, images(size)))
    ignored = {tensor["name"] for tensor in report["ignored"]}
    assert ("visual.ln_post.weight" in ignored) == name.startswith("CoCa")


@pytest.mark.parametrize("name", ["CLIP", "fc_norm", "attention pooling", "SwiGLU", "LayerScale"])
def test_timm_variants_at_another_size(tmp_path, name):
    model = small_model(**MODELS[name])
    save_state(model, tmp_path / "model.safetensors")
    model.set_input_size(img_size=(80, 48))
    activation = ["activation=gelu"] if name == "CLIP" else []
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(80, 48), "heads=4", *activation)
    assert_same_maps(maps["maps"], timm_maps(model, images(80, 48)))


def test_deit3_at_another_size(tmp_path):
    model = small_model(no_embed_class=True, init_values=0.1)
    save_state(model, tmp_path / "model.safetensors",
               lambda name: name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"))
    model.set_input_size(img_size=(64, 80))
    maps, _ = run_tool(tmp_path, tmp_path / "model.safetensors", images(64, 80), "heads=4")
    assert_same_maps(maps["maps"], timm_maps(model, images(64, 80)))


@pytest.mark.parametrize("size", [(48, 48), (64, 80)])
def test_beit3(tmp_path, size):
    """Norms inside attention and MLP; timm gives it an epsilon of 1e-5, which shows nowhere else."""
    model = randomise(timm.models.vision_transformer.VisionTransformer(
        **SMALL, scale_attn_norm=True, scale_mlp_norm=True, global_pool="avg",
        norm_layer=functools.partial(timm.layers.LayerNorm, eps=1e-5)))
    save_state(model, tmp_path / "model.safetensors")
    if size != (48, 48):
        model.set_input_size(img_size=size)
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(*size), "heads=4")
    assert_same_maps(maps["maps"], timm_maps(model, images(*size)))
    eps = decision(report, "norm_eps")
    assert eps["value"] == 1e-5 and "BEiT-3" in eps["source"]


WHOLE = {
    "CLIP": lambda: transformers.CLIPModel(transformers.CLIPConfig(
        text_config=dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                         intermediate_size=16, vocab_size=20),
        vision_config=dict(HF, intermediate_size=64))),
    "SigLIP": lambda: transformers.SiglipModel(transformers.SiglipConfig(
        text_config=dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                         intermediate_size=16, vocab_size=20),
        vision_config=dict(HF, intermediate_size=64))),
    "DINOv2": lambda: transformers.Dinov2ForImageClassification(
        transformers.Dinov2Config(**HF, mlp_ratio=2)),
    "MAE": lambda: transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(
        **HF, intermediate_size=64, mask_ratio=0.0, decoder_hidden_size=16,
        decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=16)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_backbones_inside_whole_models(tmp_path, name):
    model = randomise(WHOLE[name]())
    model.save_pretrained(tmp_path)
    inner = {"CLIP": lambda: model.vision_model, "SigLIP": lambda: model.vision_model,
             "DINOv2": lambda: model.dinov2, "MAE": lambda: model.vit}[name]()
    arguments = dict(noise=torch.arange(18.0).reshape(2, 9)) if name == "MAE" else {}
    maps, report = run_tool(tmp_path, tmp_path, images(48))
    assert_same_maps(maps["maps"],
                     block_maps(inner, transformers_blocks(inner), images(48), **arguments))
    assert report["config"]["heads"] == 4 and report["prefix"]
    assert report["undecided"] == [] and report["ignored"]


def test_perception_encoders_without_pooling_are_refused(tmp_path):
    """The spatial and language models have a plain CLIP's tensors, less the final norm."""
    state = {k: v for k, v in small_model(**CLIP).state_dict().items() if not k.startswith("norm.")}
    save_file(state, str(tmp_path / "model.safetensors"))
    error = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4", fails=True)
    assert "Perception Encoder" in error
    state = {k: v for k, v in tower().state_dict().items() if "ln_post" not in k and k != "proj"}
    save_file(state, str(tmp_path / "model.safetensors"))
    error = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4", fails=True)
    assert "Perception Encoder" in error


def test_gated_mlps_have_a_line(tmp_path):
    save_state(randomise(eva(**EVA["EVA-02, base"])), tmp_path / "model.safetensors")
    _, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(56), "heads=4")
    assert decision(report, "activation")["value"] == "silu"
    assert "SwiGLU" in decision(report, "activation")["source"]
    assert any("no norm is inside attention" in note for note in report["notes"])
    save_state(randomise(eva(**EVA["EVA-02-CLIP"])), tmp_path / "model.safetensors")
    _, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(56), "heads=4")
    assert not any("no norm" in note for note in report["notes"])


@pytest.mark.parametrize("masked", [False, True])
def test_dinov3_without_masks_keeps_the_bias_of_keys(tmp_path, masked):
    model = randomise(eva(**DINOV3))
    state = meta_names(model)
    if not masked:
        state = {k: v for k, v in state.items() if not k.endswith("bias_mask")}
    save_file({k: v.contiguous() for k, v in state.items()}, str(tmp_path / "model.safetensors"))
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(56))
    assert any("bias_mask" in note for note in report["notes"]) == (not masked)
    if not masked:
        for block in model.blocks:
            block.attn.k_bias.fill_(5.0)
    assert_same_maps(maps["maps"], timm_maps(model, images(56)))
