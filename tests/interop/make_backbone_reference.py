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
from test_backbone_positions import resampled

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


def plain(model):
    return model, {}


def by_timm(model):
    """A copy that takes images of 32x16: positions as timm resamples them."""
    model = copy.deepcopy(model)
    model.set_input_size(img_size=(32, 16))
    return model, {}


def by_dino(model):
    other, _ = by_timm(model)
    other.pos_embed.data = resampled(model.pos_embed.detach(), 1, (4, 2), mode="bicubic", dino=True)
    return other, {}


def by_npz(options, *layout):
    """timm's own loader of .npz files."""
    def load(model):
        other = timm.models.vision_transformer.VisionTransformer(
            **{**SMALL, "img_size": (32, 16)}, **options).eval()
        with tempfile.TemporaryDirectory() as folder:
            numpy.savez(f"{folder}/model.npz", **flax_names(model, *layout))
            other.load_pretrained(f"{folder}/model.npz")
        return other, {}
    return load


def open_clip_tower(size):
    return open_clip.transformer.VisionTransformer(
        image_size=size, patch_size=8, width=16, layers=2, heads=2, mlp_ratio=2, output_dim=4)


def by_open_clip(model):
    holder = torch.nn.Module()
    holder.visual = open_clip_tower((32, 16)).eval()
    state = {"visual." + name: value for name, value in model.state_dict().items()}
    open_clip.model.resize_pos_embed(state, holder)
    holder.load_state_dict(state)
    return holder.visual, {}


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
    "google": (vit, lambda m: flax_names(m, False, False), by_npz({}, False, False)),
    "big_vision": (lambda: vit(**AVERAGE), lambda m: flax_names(m, True, True),
                   by_npz(AVERAGE, True, True)),
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
    own = images(24, count=1)
    other = images(32, 32 if name == "torchvision" else 16, count=1)
    larger, arguments = resize(model)
    tensors = {"images": own, "maps": torch.stack(block_maps(model, blocks_of(model), own), 1),
               "resized_images": other, "resized_maps": torch.stack(
                   block_maps(larger, blocks_of(larger), other, **arguments), 1)}
    save_file(tensors, str(folder / f"{name}_maps.safetensors"))
    state = names(model)
    if name in ("google", "big_vision"):
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
