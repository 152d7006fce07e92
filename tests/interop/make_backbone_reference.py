"""Makes tests/extractor/backbone/reference/: a tiny random model of every family, as its files hold it,
with the maps that its library computes, and position embeddings resampled by the libraries that each
mode is named after.

    .venv/bin/python tests/interop/make_backbone_reference.py
"""
import copy
import tempfile

import numpy
import open_clip
import scipy.ndimage
import timm
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file

from backbone_peers import block_maps, images, randomise, transformers_blocks
from paths import ROOT
from test_backbone import dinov2_names
from test_backbone_eva import DINOV3, EVA, baai_names, meta_names
from test_backbone_google import flax_names

FOLDER = ROOT / "tests/extractor/backbone/reference"
SMALL = dict(img_size=24, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3)
HF = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=24, patch_size=8)


def vit(**options):
    return randomise(timm.models.vision_transformer.VisionTransformer(**SMALL, **options))


def eva(**options):
    return randomise(timm.models.eva.Eva(**{**SMALL, **options}))


def transformers_model(kind, **options):
    return randomise(getattr(transformers, kind + "Model")(
        getattr(transformers, kind + "Config")(**HF, **options)))


def own_state(model):
    return model.state_dict()


def saved_state(model):
    """Under the names of transformers' files, which differ from those in memory."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(f"{folder}/model.safetensors")


def resized(model, size):
    """A copy that takes images of this size: positions as timm resamples them."""
    model = copy.deepcopy(model)
    model.set_input_size(img_size=size)
    return model


# name: model, its tensors as the family's files have them, whether timm's model can be resized here
# (others' resampling is compared in test_backbone*.py)
MODELS = {
    "registers": (lambda: vit(reg_tokens=2, no_embed_class=True, init_values=0.1), own_state, True),
    "distilled": (lambda: randomise(timm.models.deit.VisionTransformerDistilled(**SMALL)),
                  own_state, True),
    "dinov2_giant": (lambda: vit(mlp_layer=timm.layers.SwiGLUPacked, act_layer=torch.nn.SiLU,
                                 init_values=0.1), lambda m: dinov2_names(m, True), False),
    "eva02_clip": (lambda: eva(**EVA["EVA-02-CLIP"]), baai_names, True),
    "dinov3": (lambda: eva(**DINOV3), meta_names, True),
    "google": (vit, lambda m: flax_names(m, False, False), False),
    "big_vision": (lambda: vit(class_token=False, global_pool="avg", fc_norm=False),
                   lambda m: flax_names(m, True, True), False),
    "open_clip": (lambda: randomise(open_clip.transformer.VisionTransformer(
        image_size=24, patch_size=8, width=16, layers=2, heads=2, mlp_ratio=2, output_dim=4)),
        own_state, False),
    "torchvision": (lambda: randomise(torchvision.models.VisionTransformer(
        image_size=24, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32,
        num_classes=3)),
        own_state, False),
    "transformers_vit": (lambda: transformers_model("ViT", intermediate_size=32), saved_state, False),
    "transformers_dinov2": (lambda: transformers_model("Dinov2WithRegisters", mlp_ratio=2),
                            saved_state, False),
    "transformers_clip": (lambda: transformers_model("CLIPVision", intermediate_size=32),
                          saved_state, False),
    "transformers_siglip": (lambda: transformers_model("SiglipVision", intermediate_size=32),
                            saved_state, False),
    "transformers_dinov3": (lambda: transformers_model("DINOv3ViT", intermediate_size=32,
                                                       num_register_tokens=2), saved_state, False),
}


def blocks_of(model):
    if hasattr(model, "blocks"):
        return model.blocks
    if hasattr(model, "transformer"):
        return model.transformer.resblocks
    return model.encoder.layers if hasattr(model, "conv_proj") else transformers_blocks(model)


def write_model(name):
    make, names, can_resize = MODELS[name]
    model = make()
    own, other = images(24, count=1), images(32, 16, count=1)
    tensors = {"images": own, "maps": torch.stack(block_maps(model, blocks_of(model), own), 1)}
    if can_resize:
        tensors["resized_images"] = other
        larger = resized(model, (32, 16)) if name != "dinov3" else model
        tensors["resized_maps"] = torch.stack(block_maps(larger, larger.blocks, other), 1)
    save_file(tensors, str(FOLDER / f"{name}_maps.safetensors"))
    state = names(model)
    if name in ("google", "big_vision"):
        numpy.savez(FOLDER / f"{name}.npz", **state)
    else:
        save_file({k: v.contiguous().clone() for k, v in state.items()},
                  str(FOLDER / f"{name}.safetensors"))


def write_positions():
    grid = torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(2))

    def interpolated(**options):
        return torch.nn.functional.interpolate(grid, mode="bicubic", align_corners=False, **options)

    zoomed = scipy.ndimage.zoom(grid[0].permute(1, 2, 0).numpy(), (6 / 3, 4 / 5, 1), order=1)
    results = {
        "timm": timm.layers.resample_abs_pos_embed(
            grid.flatten(2).transpose(1, 2), new_size=(6, 4), old_size=(3, 5),
            num_prefix_tokens=0)[0],
        # dinov2/models/vision_transformer.py, interpolate_pos_encoding
        "dino": interpolated(scale_factor=((6 + 0.1) / 3, (4 + 0.1) / 5)),
        "timm-npz": torch.nn.functional.interpolate(grid, (6, 4), mode="bilinear"),
        # torchvision/models/vision_transformer.py, interpolate_embeddings
        "torchvision": torch.nn.functional.interpolate(grid, (6, 4), mode="bicubic",
                                                       align_corners=True),
        # transformers/models/vit/modeling_vit.py, interpolate_pos_encoding
        "transformers": interpolated(size=(6, 4)),
        # big_vision/models/vit.py, resample_posemb
        "big-vision": torch.from_numpy(zoomed).permute(2, 0, 1)[None],
    }
    tensors = {name: value if value.ndim == 2 else value[0].flatten(1).T
               for name, value in results.items()}
    tensors["positions"] = grid[0].flatten(1).T
    save_file({k: v.contiguous() for k, v in tensors.items()},
              str(FOLDER / "positions.safetensors"))


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        write_model(name)
    write_positions()


if __name__ == "__main__":
    main()
