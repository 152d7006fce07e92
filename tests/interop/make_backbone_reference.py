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

from backbone_peers import (block_maps, images, randomise, resized_open_clip,
                            transformers_blocks)
from paths import ROOT
from test_backbone import dinov2_names
from test_backbone_eva import DINOV3, ENORMOUS, EVA, baai_names, meta_names
from test_backbone_google import OTHERS, flax_names
from test_backbone_positions import resampled

FOLDER = ROOT / "tests/extractor/backbone/reference"
SMALL = dict(img_size=24, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3)
TINY = dict(SMALL, img_size=12, patch_size=4, mlp_ratio=2)
HF = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=24, patch_size=8)
TINY_HF = dict(image_size=12, patch_size=4)


def vit(**options):
    return randomise(timm.models.vision_transformer.VisionTransformer(**{**SMALL, **options}))


def tiny_vit(**options):
    return vit(**{**TINY, **options})


def eva(**options):
    return randomise(timm.models.eva.Eva(**{**SMALL, **options}))


def tiny_eva(**options):
    return eva(**{**TINY, **options})


def transformers_model(kind, **options):
    return randomise(getattr(transformers, kind + "Model")(
        getattr(transformers, kind + "Config")(**{**HF, **options})))


class MaskedAutoencoder(torch.nn.Module):
    """transformers' ViT-MAE with nothing masked and nothing shuffled."""

    def __init__(self):
        super().__init__()
        self.model = transformers_model("ViTMAE", intermediate_size=32, mask_ratio=0.0, **TINY_HF)

    def forward(self, pixels, **arguments):
        patches = pixels.shape[2] * pixels.shape[3] // patch_size(self) ** 2
        return self.model(pixels, noise=torch.arange(1.0 * patches)[None], **arguments)


def own_state(model):
    return model.state_dict()


def saved_state(model):
    """Under the names of transformers' files, which differ from those in memory."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(f"{folder}/model.safetensors")


def below(prefix):
    return lambda model: {prefix + name: value for name, value in model.state_dict().items()}


def deit3_names(model):
    return {name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): value
            for name, value in model.state_dict().items()}


def dino_training_names(model):
    """The whole of a training checkpoint, whose head tells where it comes from."""
    return {**below("teacher.backbone.")(model),
            "teacher.head.last_layer.weight_v": torch.ones(4, 4)}


def mae_names(model):
    return {**below("model.")(model), "model.mask_token": torch.ones(1, 1, 8),
            "model.decoder_blocks.0.norm1.weight": torch.ones(8)}


def openai_names(model):
    """In fp16, with three numbers that only OpenAI's archives have."""
    numbers = dict(input_resolution=12, context_length=77, vocab_size=100)
    return {**{name: value.half() for name, value in below("visual.")(model).items()},
            **{name: torch.tensor(number) for name, number in numbers.items()}}


def vision_transformer_names(model):
    return flax_names(model, False, False)


def opt_target_names(model):
    """With a part of the optimizer's state."""
    tensors = vision_transformer_names(model)
    return {**{"opt/target/" + name: array for name, array in tensors.items()},
            **OTHERS["opt/target/"]}


def big_vision_names(model):
    return flax_names(model, True, True)


def patch_size(model):
    return next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d)).kernel_size[0]


def other_size(model):
    return 4 * patch_size(model), 2 * patch_size(model)


def plain(model):
    return model, {}


def by_timm(model):
    """A copy that takes images of 4x2 patches: positions as timm resamples them."""
    model = copy.deepcopy(model)
    model.set_input_size(img_size=other_size(model))
    return model, {}


def by_dino(model):
    other, _ = by_timm(model)
    other.pos_embed.data = resampled(model.pos_embed.detach(), 1, (4, 2), mode="bicubic", dino=True)
    return other, {}


def by_npz(options, names):
    """timm's own loader of .npz files."""
    def load(model):
        other = timm.models.vision_transformer.VisionTransformer(
            **{**SMALL, **options, "img_size": other_size(model)}).eval()
        with tempfile.TemporaryDirectory() as folder:
            numpy.savez(f"{folder}/model.npz", **names(model))
            other.load_pretrained(f"{folder}/model.npz")
        return other, {}
    return load


def open_clip_tower(size, patch=8, activation=torch.nn.GELU):
    return open_clip.transformer.VisionTransformer(
        image_size=size, patch_size=patch, width=16, layers=2, heads=2, mlp_ratio=2, output_dim=4,
        act_layer=activation)


def openai_tower(size=12):
    return open_clip_tower(size, 4, open_clip.transformer.QuickGELU)


def by_open_clip(model):
    make = openai_tower if patch_size(model) == 4 else open_clip_tower
    return resized_open_clip(model, make(other_size(model))), {}


def torchvision_model(size):
    return torchvision.models.VisionTransformer(
        image_size=size, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32,
        num_classes=3)


def by_torchvision(model):
    """32x32: torchvision knows squares only."""
    other = torchvision_model(32).eval()
    other.load_state_dict(torchvision.models.vision_transformer.interpolate_embeddings(
        32, 8, model.state_dict()))
    return other, {}


def by_transformers(model):
    return model, dict(interpolate_pos_encoding=True)


AVERAGE = dict(class_token=False, global_pool="avg", fc_norm=False)
MAP = dict(class_token=False, global_pool="map")

# name: model, its tensors as the family's files have them, the model that takes another image size
# (and arguments for it)
MODELS = {
    "registers": (lambda: vit(reg_tokens=2, no_embed_class=True, init_values=0.1), own_state, by_timm),
    "distilled": (lambda: randomise(timm.models.deit.VisionTransformerDistilled(**SMALL)),
                  own_state, by_timm),
    "dinov2_giant": (lambda: vit(mlp_layer=timm.layers.SwiGLUPacked, act_layer=torch.nn.SiLU,
                                 init_values=0.1), lambda m: dinov2_names(m, True), by_dino),
    "eva02_clip": (lambda: eva(**EVA["EVA-02-CLIP"]), baai_names, by_timm),
    "dinov3": (lambda: eva(**DINOV3), meta_names, plain),
    "google": (vit, vision_transformer_names, by_npz({}, vision_transformer_names)),
    "big_vision": (lambda: vit(**AVERAGE), big_vision_names, by_npz(AVERAGE, big_vision_names)),
    "open_clip": (lambda: randomise(open_clip_tower(24)), own_state, by_open_clip),
    "torchvision": (lambda: randomise(torchvision_model(24)), own_state, by_torchvision),
    "transformers_vit": (lambda: transformers_model("ViT", intermediate_size=32), saved_state,
                         by_transformers),
    "transformers_dinov2": (lambda: transformers_model("Dinov2WithRegisters", mlp_ratio=2),
                            saved_state, plain),
    "transformers_clip": (lambda: transformers_model("CLIPVision", intermediate_size=32),
                          saved_state, by_transformers),
    "transformers_siglip": (lambda: transformers_model("SiglipVision", intermediate_size=32),
                            saved_state, by_transformers),
    "transformers_dinov3": (lambda: transformers_model("DINOv3ViT", intermediate_size=32,
                                                       num_register_tokens=2), saved_state, plain),
    "timm": (tiny_vit, own_state, by_timm),
    "deit3": (lambda: tiny_vit(no_embed_class=True, init_values=0.1), deit3_names, by_timm),
    "dino": (lambda: tiny_vit(num_classes=0), dino_training_names, by_dino),
    "mae": (tiny_vit, mae_names, by_timm),
    "dinov2": (lambda: tiny_vit(init_values=0.1), lambda m: dinov2_names(m, False), by_dino),
    "dinov2_registers": (lambda: tiny_vit(init_values=0.1, reg_tokens=2, no_embed_class=True),
                         lambda m: dinov2_names(m, False), by_timm),
    "openai_clip": (lambda: randomise(openai_tower()).half().float(), openai_names, by_open_clip),
    "open_clip_timm": (tiny_vit, below("visual.trunk."), by_timm),
    "siglip": (lambda: tiny_vit(**MAP), own_state, by_timm),
    "siglip_tanh": (lambda: tiny_vit(**MAP, act_layer="gelu_tanh"), own_state, by_timm),
    "eva01": (lambda: tiny_eva(**EVA["EVA-01"]), baai_names, by_timm),
    "eva02_small": (lambda: tiny_eva(**EVA["EVA-02, small"]), own_state, by_timm),
    "eva02_base": (lambda: tiny_eva(**EVA["EVA-02, base"]), baai_names, by_timm),
    "eva02_enormous": (lambda: tiny_eva(**ENORMOUS), baai_names, by_timm),
    "dinov3_timm": (lambda: tiny_eva(**DINOV3), own_state, plain),
    "google_opt_target": (tiny_vit, opt_target_names, by_npz(TINY, opt_target_names)),
    "transformers_deit": (lambda: transformers_model("DeiT", intermediate_size=32, **TINY_HF),
                          saved_state, by_transformers),
    "transformers_mae": (MaskedAutoencoder, lambda m: saved_state(m.model), by_transformers),
    "transformers_dinov2_plain": (lambda: transformers_model("Dinov2", mlp_ratio=2, **TINY_HF),
                                  saved_state, plain),
    "transformers_dinov2_giant": (lambda: transformers_model(
        "Dinov2", mlp_ratio=2, use_swiglu_ffn=True, **TINY_HF), saved_state, plain),
    "transformers_dinov3_gated": (lambda: transformers_model(
        "DINOv3ViT", intermediate_size=32, use_gated_mlp=True, hidden_act="silu",
        num_register_tokens=2, **TINY_HF), saved_state, plain),
}


def blocks_of(model):
    if hasattr(model, "blocks"):
        return model.blocks
    if hasattr(model, "transformer"):
        return model.transformer.resblocks
    return model.encoder.layers if hasattr(model, "conv_proj") else transformers_blocks(model)


def write_model(name, folder):
    make, names, resize = MODELS[name]
    model = make()
    own = images(3 * patch_size(model), count=1)
    other = images(*((32, 32) if name == "torchvision" else other_size(model)), count=1)
    larger, arguments = resize(model)
    tensors = {"images": own, "maps": torch.stack(block_maps(model, blocks_of(model), own), 1),
               "resized_images": other, "resized_maps": torch.stack(
                   block_maps(larger, blocks_of(larger), other, **arguments), 1)}
    save_file(tensors, str(folder / f"{name}_maps.safetensors"))
    state = names(model)
    if "embedding/kernel" in state or "opt/target/embedding/kernel" in state:
        numpy.savez(folder / f"{name}.npz", **state)
    else:
        save_file({k: v.contiguous().clone() for k, v in state.items()},
                  str(folder / f"{name}.safetensors"))


def write_positions(folder):
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
              str(folder / "positions.safetensors"))


def main(folder=FOLDER):
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        write_model(name, folder)
    write_positions(folder)


if __name__ == "__main__":
    main()
