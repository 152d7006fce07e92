"""The published sizes: all are recognised from the headers of sparse files; some are loaded and run,
from files of random numbers, and what memory that takes is measured.

    LAST_ALL_SIZES=1 loads all of them, in both types (half an hour and more on two cores, up to
    27 GB of disk and 17 GB of memory).
"""
import json
import os
import struct
import subprocess

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from backbone_peers import TOOL, assert_same_maps, images, randomise, run_tool, timm_maps
from paths import tool
from process_memory import peaks_of
from test_backbone_eva import ENORMOUS, baai_names

# name: what timm calls the model, blocks, channels, heads
SIZES = {
    "vit_tiny_patch16_224": (12, 192, 3), "vit_small_patch16_224": (12, 384, 6),
    "vit_base_patch16_224": (12, 768, 12), "vit_large_patch16_224": (24, 1024, 16),
    "vit_so400m_patch14_siglip_224": (27, 1152, 16), "vit_huge_patch14_224": (32, 1280, 16),
    "vit_giant_patch14_224": (40, 1408, 16), "vit_gigantic_patch14_224": (48, 1664, 16),
    "vit_giant_patch14_dinov2": (40, 1536, 24), "eva_giant_patch14_224": (40, 1408, 16),
    "eva02_large_patch14_224": (24, 1024, 16), "eva02_enormous_patch14_clip_224": (64, 1792, 16),
    "vit_huge_plus_patch16_dinov3": (32, 1280, 20), "vit_7b_patch16_dinov3": (40, 4096, 32),
}
# Files that are loaded wherever the tests run: 2.5 GB at most.
ALWAYS = {("vit_tiny_patch16_224", "BF16"), ("vit_small_patch16_224", "BF16"),
          ("vit_base_patch16_224", "BF16"), ("vit_base_patch16_224", "F32"),
          ("vit_large_patch16_224", "BF16"), ("vit_so400m_patch14_siglip_224", "BF16"),
          ("vit_huge_patch14_224", "BF16"), ("vit_huge_patch14_224", "F32"),
          ("vit_giant_patch14_dinov2", "BF16")}
BYTES = {"F32": 4, "BF16": 2}


def write_file(path, shapes, dtype, sparse=True):
    """Of zeros that take no room on the disk, or of random numbers, a block of them again and again."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = BYTES[dtype] * int(torch.Size(shape).numel())
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # as every writer does: tensors are aligned
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        if not sparse:
            numbers = 0.02 * torch.randn(2**22, generator=torch.Generator().manual_seed(0))
            block = numbers.to({"F32": torch.float32, "BF16": torch.bfloat16}[dtype])
            block = block.view(torch.uint8).numpy().data
            for start in range(0, offset, len(block)):
                file.write(block[:offset - start])
        file.truncate(8 + len(text) + offset)
    return offset


def write_model(path, name, dtype, sparse=True):
    with torch.device("meta"):
        model = timm.create_model(name)
    return write_file(path, {k: tuple(v.shape) for k, v in model.state_dict().items()}, dtype,
                      sparse)


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes_are_recognised(tmp_path, name):
    write_model(tmp_path / "model.safetensors", name, "F32")
    done = subprocess.run([tool("extractor"), "model", "--json", "--weights",
                           tmp_path / "model.safetensors"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    config = report["config"]
    assert (config["depth"], config["dim"], config["heads"]) == SIZES[name]
    assert config["norm_place"] == ("after" if "enormous" in name else "before")
    assert report["undecided"] == []


def run_measured(folder, weights, *options, image=224):
    """Largest RssAnon while the tool runs, in bytes."""
    save_file({"images": images(image, count=1)}, str(folder / "input.safetensors"))
    process = subprocess.Popen([str(TOOL), str(weights), str(folder / "input.safetensors"),
                                str(folder / "maps.safetensors"), *options],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    largest = peaks_of(process)["RssAnon"]
    assert process.returncode == 0, process.stderr.read()
    return largest


@pytest.mark.parametrize("dtype", ["BF16", "F32"])
@pytest.mark.parametrize("name", SIZES)
def test_published_sizes_run(tmp_path, name, dtype):
    """With no more anonymous memory than 1.3 times the weights in bf16, whatever the file has."""
    if (name, dtype) not in ALWAYS and not os.environ.get("LAST_ALL_SIZES"):
        pytest.skip("LAST_ALL_SIZES is not set")
    path = tmp_path / "model.safetensors"
    size = write_model(path, name, dtype, sparse=False)
    # Loading is what takes memory: small images save time, one is larger.
    image = 56 if size > 5e8 and "patch14" in name else 112
    if (name, dtype) == ("vit_huge_patch14_224", "BF16"):
        image = 168
    used = run_measured(tmp_path, path, "precision=bf16", f"model={name}", image=image)
    path.unlink()
    maps = load_file(tmp_path / "maps.safetensors")["maps"]
    assert maps.isfinite().all() and maps.std() > 0
    weights = size * BYTES["BF16"] // BYTES[dtype]
    if weights > 1e9:  # of smaller models, the program and the maps are the larger part
        assert used <= 1.3 * weights, (used / weights, weights)


@pytest.mark.skipif(not os.environ.get("LAST_ALL_SIZES"), reason="LAST_ALL_SIZES is not set")
def test_enormous_by_its_size(tmp_path):
    """That its norms stand behind shows in channels and blocks alone, which are real ones here."""
    model = randomise(timm.models.eva.Eva(
        img_size=28, patch_size=14, embed_dim=1792, depth=64, num_heads=16, num_classes=0,
        **{**ENORMOUS, "mlp_ratio": 1 / 14})).bfloat16()
    save_file({"visual." + name: tensor for name, tensor in baai_names(model).items()},
              str(tmp_path / "model.safetensors"))
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(28))
    (tmp_path / "model.safetensors").unlink()
    assert report["config"]["norm_place"] == "after"
    # Later, the rounding of random blocks has grown; a norm in the wrong place shows in the first.
    first = 9
    assert_same_maps(maps["maps"][:, :first], timm_maps(model.float(), images(28))[:first])


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_weights_are_in_memory_once(tmp_path, dtype):
    """At most 1.3 times the weights in the precision of the products, beside the program itself."""
    depth, dim, hidden = 24, 512, 2048
    shapes = {"cls_token": (1, 1, dim), "pos_embed": (1, 197, dim), "norm.weight": (dim,),
              "norm.bias": (dim,), "patch_embed.proj.weight": (dim, 3, 16, 16),
              "patch_embed.proj.bias": (dim,)}
    for i in range(depth):
        for name, shape in {"norm1.weight": (dim,), "norm1.bias": (dim,), "norm2.weight": (dim,),
                            "norm2.bias": (dim,), "attn.qkv.weight": (3 * dim, dim),
                            "attn.qkv.bias": (3 * dim,), "attn.proj.weight": (dim, dim),
                            "attn.proj.bias": (dim,), "ls1.gamma": (dim,), "ls2.gamma": (dim,),
                            "mlp.fc1.weight": (hidden, dim), "mlp.fc1.bias": (hidden,),
                            "mlp.fc2.weight": (dim, hidden), "mlp.fc2.bias": (dim,)}.items():
            shapes[f"blocks.{i}.{name}"] = shape
    write_file(tmp_path / "large.safetensors", shapes, dtype)
    small = {name: shape for name, shape in shapes.items()
             if not name.startswith("blocks.") or name.startswith("blocks.0.")}
    write_file(tmp_path / "small.safetensors", small, dtype)
    used = [run_measured(tmp_path, tmp_path / f"{size}.safetensors", "heads=8", "precision=bf16")
            for size in ("small", "large")]
    weights = 2 * sum(torch.Size(shape).numel() for name, shape in shapes.items() if name not in small)
    maps = 4 * 2 * (depth - 1) * 197 * dim  # what the tool itself keeps of every layer, twice
    assert used[1] - used[0] <= 1.3 * weights + maps, (used, weights)
