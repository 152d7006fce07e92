"""Makes tests/extractor/backbone/reference/: two tiny random models as timm saves them, with the maps
that timm computes, and position embeddings resampled by the libraries that each mode is named after.

    .venv/bin/python tests/interop/make_backbone_reference.py
"""
import scipy.ndimage
import timm
import torch
from safetensors.torch import save_file

from test_backbone import ROOT, images, randomise, timm_maps

FOLDER = ROOT / "tests/extractor/backbone/reference"
SMALL = dict(img_size=24, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3)


def write_model(name, model):
    save_file({k: v.contiguous().clone() for k, v in model.state_dict().items()},
              str(FOLDER / f"{name}.safetensors"))
    own, other = images(24, count=1), images(32, 16, count=1)
    tensors = {"images": own, "maps": torch.stack(timm_maps(model, own), 1)}
    model.set_input_size(img_size=(32, 16))
    tensors["resized_images"] = other
    tensors["resized_maps"] = torch.stack(timm_maps(model, other), 1)
    save_file(tensors, str(FOLDER / f"{name}_maps.safetensors"))


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
    write_model("registers", randomise(timm.models.vision_transformer.VisionTransformer(
        **SMALL, reg_tokens=2, no_embed_class=True, init_values=0.1)))
    write_model("distilled", randomise(timm.models.deit.VisionTransformerDistilled(**SMALL)))
    write_positions()


if __name__ == "__main__":
    main()
