"""What decides about a checkpoint: files beside it, its shapes, the command line; and what is refused."""
import json
import subprocess

import numpy as np
import open_clip
import pytest
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

from backbone_peers import (assert_same_maps, block_maps, images, randomise, run_tool, save_state,
                            small_model, timm_maps, transformers_blocks)
from paths import tool
from test_backbone_google import flax_names

CLIP = dict(pre_norm=True, norm_layer=lambda d, **k: torch.nn.LayerNorm(d, eps=1e-5, **k))


def decision(report, what):
    return next(d for d in report["decided"] if d["what"] == what)


def clip_tower(quick):
    return randomise(open_clip.transformer.VisionTransformer(
        image_size=48, patch_size=16, width=128, layers=2, heads=2, mlp_ratio=2, output_dim=8,
        act_layer=open_clip.transformer.QuickGELU if quick else torch.nn.GELU))


def write_clip(folder, quick, **more):
    tower = clip_tower(quick)
    state = {"visual." + name: value.clone() for name, value in tower.state_dict().items()}
    save_file({**state, **more}, str(folder / "open_clip_model.safetensors"))
    return tower


def test_quick_gelu_is_asked_for(tmp_path):
    tower = write_clip(tmp_path, True)
    error = run_tool(tmp_path, tmp_path, images(48), "heads=2", fails=True)
    assert "the activation can't be told" in error and "--activation" in error
    assert error.count("\n") == 1
    maps, _ = run_tool(tmp_path, tmp_path, images(48), "heads=2", "activation=quick-gelu")
    assert_same_maps(maps["maps"], block_maps(tower, tower.transformer.resblocks, images(48)))
    save_state(small_model(**CLIP), tmp_path / "timm.safetensors")
    error = run_tool(tmp_path, tmp_path / "timm.safetensors", images(48), "heads=4", fails=True)
    assert "--activation" in error


@pytest.mark.parametrize("quick", [False, True])
def test_open_clip_config(tmp_path, quick):
    tower = write_clip(tmp_path, quick)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({
        "model_cfg": {"quick_gelu": quick, "vision_cfg": {"width": 128, "image_size": 48}},
        "preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}}))
    maps, report = run_tool(tmp_path, tmp_path, images(48))  # 64 channels a head
    assert_same_maps(maps["maps"], block_maps(tower, tower.transformer.resblocks, images(48)))
    assert decision(report, "activation")["source"] == "open_clip_config.json"
    assert report["config"]["heads"] == 2


def test_openai_archives_have_quick_gelu(tmp_path):
    tower = write_clip(tmp_path, True, input_resolution=torch.tensor(48),
                       context_length=torch.tensor(77), vocab_size=torch.tensor(100))
    maps, report = run_tool(tmp_path, tmp_path, images(48), "heads=2")
    assert_same_maps(maps["maps"], block_maps(tower, tower.transformer.resblocks, images(48)))
    assert "OpenAI" in decision(report, "activation")["source"]


def test_timm_notes_of_quick_gelu(tmp_path):
    model = small_model(act_layer="quick_gelu", **CLIP)
    save_state(model, tmp_path / "model.safetensors")
    config = {"architecture": "vit_base_patch16_clip_224", "model_args": {"num_heads": 4},
              "pretrained_cfg": {"notes": ["natively QuickGELU, use quickgelu model variant"]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    maps, report = run_tool(tmp_path, tmp_path, images(48))
    assert_same_maps(maps["maps"], timm_maps(model, images(48)))
    assert decision(report, "activation")["assumed"]


def write_timm_config(folder, architecture="vision_transformer", **arguments):
    (folder / "config.json").write_text(json.dumps(
        {"architecture": architecture, "model_args": {"num_heads": 4, **arguments}}))


@pytest.mark.parametrize("name,value", [("gelu", "gelu"), ("gelu_tanh", "gelu-tanh"),
                                        ("quick_gelu", "quick-gelu"), ("silu", "silu")])
def test_timm_states_the_activation(name, value, tmp_path):
    model = small_model(act_layer=name)
    save_state(model, tmp_path / "model.safetensors")
    write_timm_config(tmp_path, "vit_base_patch16_clip_quickgelu_224", act_layer=name)
    maps, report = run_tool(tmp_path, tmp_path, images(48), "norm-eps=1e-6")
    assert_same_maps(maps["maps"], timm_maps(model, images(48)))
    assert decision(report, "activation")["value"] == value
    assert decision(report, "activation")["source"].startswith("config.json")


def test_timm_states_the_activation_of_a_gate(tmp_path):
    model = small_model(mlp_layer=timm.layers.SwiGLUPacked, act_layer="gelu", mlp_ratio=4)
    save_state(model, tmp_path / "model.safetensors")
    write_timm_config(tmp_path, act_layer="gelu")
    maps, _ = run_tool(tmp_path, tmp_path, images(48))
    assert_same_maps(maps["maps"], timm_maps(model, images(48)))


def test_unknown_layers_of_timm(tmp_path):
    save_state(small_model(), tmp_path / "model.safetensors")
    write_timm_config(tmp_path, act_layer="mish")
    error = run_tool(tmp_path, tmp_path, images(48), fails=True)
    assert 'says act_layer "mish", which this program doesn\'t know' in error, error
    run_tool(tmp_path, tmp_path, images(48), "activation=gelu")
    for key, value in [("norm_layer", "simplenorm"), ("mlp_layer", "glumlp"), ("block_fn", "x")]:
        write_timm_config(tmp_path, **{key: value})
        error = run_tool(tmp_path, tmp_path, images(48), "activation=gelu", fails=True)
        assert f'says {key} "{value}", which this program doesn\'t know' in error, error
    write_timm_config(tmp_path, norm_layer="layernorm")
    run_tool(tmp_path, tmp_path, images(48))


def test_norm_eps(tmp_path):
    """transformers' ViT has 1e-12 where no config.json says otherwise; --norm-eps overrides."""
    model = transformers.ViTModel(transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        image_size=48, patch_size=16, layer_norm_eps=0.1))
    model = randomise(model)
    model.save_pretrained(tmp_path)
    expected = block_maps(model, transformers_blocks(model), images(48))
    maps, report = run_tool(tmp_path, tmp_path, images(48))
    assert_same_maps(maps["maps"], expected)
    assert decision(report, "norm_eps")["source"] == "config.json"
    (tmp_path / "config.json").unlink()
    _, report = run_tool(tmp_path, tmp_path, images(48), "heads=4")
    eps = decision(report, "norm_eps")
    assert eps["value"] == 1e-12 and eps["assumed"] and eps["option"] == "--norm-eps"
    maps, report = run_tool(tmp_path, tmp_path, images(48), "heads=4", "norm-eps=0.1")
    assert_same_maps(maps["maps"], expected)
    assert decision(report, "norm_eps")["source"] == "--norm-eps"


@pytest.mark.parametrize("mode", ["timm", "dino", "transformers", "big-vision", "timm-npz",
                                  "torchvision"])
def test_every_position_mode_can_be_asked_for(tmp_path, mode):
    model = small_model()
    save_state(model, tmp_path / "model.safetensors")
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(64, 80), "heads=4",
                            f"pos-embed={mode}")
    assert decision(report, "pos_embed") == {"what": "pos_embed", "value": mode, "assumed": False,
                                             "source": "--pos-embed", "option": "--pos-embed"}
    assert report["config"]["pos_embed"] == mode
    model.set_input_size(img_size=(64, 80))
    same = torch.allclose(maps["maps"][:, 0], timm_maps(model, images(64, 80))[0], atol=1e-5)
    assert same == (mode == "timm")


def test_sharded_files(tmp_path):
    model = randomise(transformers.Dinov2Model(transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, mlp_ratio=2, image_size=48,
        patch_size=16)))
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    for weights in (tmp_path, tmp_path / "model.safetensors.index.json"):
        maps, _ = run_tool(tmp_path, weights, images(48))
        assert_same_maps(maps["maps"], block_maps(model, transformers_blocks(model), images(48)))


OTHER_MODELS = {
    "text model": ({"text_model.embeddings.token_embedding.weight": 0}, "the text model of CLIP"),
    "OpenAI's text model": ({"token_embedding.weight": 0, "transformer.resblocks.0.ln_1.weight": 0},
                            "the text model of CLIP"),
    "ResNet": ({"conv1.weight": 0, "layer1.0.conv1.weight": 0}, "a ResNet, not a ViT"),
    "CLIP's ResNet": ({"visual.layer1.0.conv1.weight": 0, "token_embedding.weight": 0},
                      "a ResNet, not a ViT"),
    "ConvNeXt": ({"stem.0.weight": 0, "stages.0.blocks.0.conv_dw.weight": 0}, "a convolutional"),
    "Swin": ({"patch_embed.proj.weight": 0,
              "layers.0.blocks.0.attn.relative_position_bias_table": 0}, "relative positions"),
    "BERT": ({"bert.embeddings.word_embeddings.weight": 0}, "a language model"),
    "LoRA": ({"base_model.blocks.0.attn.qkv.lora_A.weight": 0}, "a LoRA adapter"),
}


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_other_models_are_named(tmp_path, name):
    names, expected = OTHER_MODELS[name]
    save_file({key: torch.ones(2) for key in names}, str(tmp_path / "model.safetensors"))
    error = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), fails=True)
    assert expected in error and error.count("\n") == 1, error
    assert any(json.dumps(key) in error for key in names), error


RENAMED = {"cls_token": "cls_tokne", "patch_embed.proj.weight": "patch_embed.prj.weight",
           "blocks.1.mlp.fc1.weight": "blocks.1.mlp.fc_1.weight", "pos_embed": "pos_embd",
           "blocks.0.norm1.weight": "blocks.0.nrom1.weight"}


@pytest.mark.parametrize("name", RENAMED)
def test_renamed_tensors_are_guessed(tmp_path, name):
    save_state(small_model(), tmp_path / "model.safetensors",
               lambda key: RENAMED[name] if key == name else key)
    error = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4", fails=True)
    assert RENAMED[name] in error and name in error and error.count("\n") == 1, error


@pytest.mark.parametrize("architecture", ["vit_pe_core_base_patch16_224", "vit_relpos_base_patch16_224",
                                          "vit_base_patch16_rope_224", "aimv2_base_patch14_224"])
def test_lookalikes_are_refused(tmp_path, architecture):
    save_state(small_model(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": architecture}))
    error = run_tool(tmp_path, tmp_path, images(48), "heads=4", fails=True)
    assert architecture in error and "not supported" in error and error.count("\n") == 1


def test_perception_encoders_are_refused(tmp_path):
    state = {k: v.clone() for k, v in small_model(**CLIP).state_dict().items()}
    save_file({**state, "attn_pool.latent": torch.ones(1, 1, 32)}, str(tmp_path / "model.safetensors"))
    error = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4", fails=True)
    assert "Perception Encoder" in error and error.count("\n") == 1


def test_post_norm_by_name(tmp_path):
    model = small_model(block_fn=timm.models.vision_transformer.ResPostBlock, init_values=0.1)
    save_state(model, tmp_path / "model.safetensors")
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(48), "heads=4",
                            "model=vit_base_patch16_rpn_224")
    # attention reads the stream as it is: its large values make rounding show more
    assert_same_maps(maps["maps"], timm_maps(model, images(48)), 1e-4)
    assert report["config"]["norm_place"] == "after"


def extractor(*arguments):
    done = subprocess.run([tool("extractor"), *arguments], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_what_is_assumed_is_said(tmp_path):
    """`model` prints how everything was decided and what changes it; `run` what is not certain."""
    np.savez(tmp_path / "weights.npz", **flax_names(small_model(), False, False))
    Image.new("RGB", (80, 80)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png 0\n")
    run = extractor("run", "--weights", tmp_path / "weights.npz", "--images", tmp_path / "list.txt",
                    "--resize", "64", "--cache", tmp_path / "a.h5", "--dry-run").stderr
    assert "assuming activation gelu" in run and "(--activation changes it)" in run
    assert "resampled from 3x3 to 4x4 patches, as timm-npz does it (--pos-embed)" in run
    assert "nothing beside the weights states mean and std" in run
    run = extractor("run", "--weights", tmp_path / "weights.npz", "--images", tmp_path / "list.txt",
                    "--resize", "48", "--cache", tmp_path / "a.h5", "--dry-run", "--activation",
                    "gelu-tanh", "--pos-embed", "timm", "--mean", "0,0,0", "--std", "1,1,1").stderr
    assert "assuming" not in run and "resampled" not in run and "nothing beside" not in run
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}))
    report = json.loads(extractor("model", "--json", "--weights", tmp_path / "weights.npz").stdout)
    assert decision(report, "mean") == {"what": "mean", "value": [0.1, 0.2, 0.3], "assumed": False,
                                        "source": "preprocessor_config.json", "option": "--mean"}
    text = extractor("model", "--weights", tmp_path / "weights.npz").stdout
    for line in ("activation = gelu  ASSUMED", "[--activation]", "[--norm-eps]", "[--pos-embed]",
                 "[--heads]", "[--mean]", "[--std]"):
        assert line in text, text
