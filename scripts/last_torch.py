#!/usr/bin/env python3
"""A side network or an ensemble of `trainer` in PyTorch, on top of the frozen ViT of timm.

    import timm, last_torch
    weights = "vit_tiny.safetensors"            # the checkpoint that the extractor ran
    backbone = timm.create_model("vit_tiny_patch16_224", checkpoint_path=weights)
    model = last_torch.LastModel(backbone, last_torch.load("best.safetensors"), weights).eval()
    images = torch.stack([last_torch.preprocess(PIL.Image.open(path), model.side) for path in paths])
    logits = model(images)                      # [B, classes]; softmax gives the probabilities
    names = [model.side.class_names[i] for i in logits.argmax(1)]

The file is what `trainer export` writes (or best.TARGET.safetensors, networks/ID.safetensors,
ensemble.TARGET.safetensors of a run). Everything but the ViT is in it. This module needs torch, numpy
and safetensors, preprocess() also Pillow, and the command below timm:

    .venv/bin/python scripts/last_torch.py best.safetensors --timm vit_tiny_patch16_224 \\
        --weights vit_tiny.safetensors IMAGE..

prints `path,class,probability` for every image.

Notation (arXiv 2402.04009): z_0 = tokens after the position embedding (and norm_pre), z_i = tokens
after block i*g of the ViT, before its final norm; P_i = z_0 + .. + z_i; D_i = sum of all attention
branches so far. Block i reads P_i + D_{i-1}; the output is z_m + D_m, then pooling, final norm, Linear.
"""

import argparse
import hashlib
import json
import math
import sys

import torch
from safetensors import safe_open
from torch import nn

MODULE_NORM_EPS = 1e-6
STORES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


class AttentionModule(nn.Module):
    """The branch of one low-rank attention module: softmax(Q K^T / sqrt(r/h)) V A_up of LN(x)."""

    def __init__(self, dim, rank, heads, biases):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim, eps=MODULE_NORM_EPS)
        self.query = nn.Linear(dim, rank, bias=biases)
        self.key = nn.Linear(dim, rank, bias=biases)
        self.value = nn.Linear(dim, rank, bias=biases)
        self.up = nn.Linear(rank, dim, bias=biases)

    def forward(self, x):  # [B, n, D] -> [B, n, D]
        y = self.norm(x)
        q, k, v = (f(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for f in (self.query, self.key, self.value))  # [B, h, n, r/h]
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        return self.up((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class SideNetwork(nn.Module):
    """One network of a file. forward() takes the maps that `layers` names and gives logits.

    layers        indices of the maps that forward() wants: 0 = z_0, i = after the ViT's block i
    class_names   list, or empty: classes are bare indices
    about         everything else the file says: network, backbone, features, training
    """

    def __init__(self, about):
        super().__init__()
        self.about = about
        self.class_names = about["class_names"]
        config, backbone = about["network"], about["backbone"]
        depth, dim, gap = backbone["depth"], backbone["dim"], config["gap"]
        linear = config["method"] == "linear"
        self.layers = [depth] if linear else list(range(0, depth + 1, gap))
        blocks = 0 if linear else depth // gap + (config["variant"] == "c")
        self.blocks = nn.ModuleList(
            nn.ModuleList(AttentionModule(dim, config["rank"], config["heads"], config["biases"])
                          for _ in range(config["modules"]))
            for _ in range(blocks))
        self.norm = nn.Identity()
        if config["norm"] != "none":
            self.norm = nn.LayerNorm(dim, eps=backbone["norm_eps"])
            self.norm.requires_grad_(config["norm"] == "trainable")
        self.head = nn.Linear(dim, about["classes"])

    def output(self, maps):
        """z_m + D_m; P_m + D_m without bias correction; z_N for a linear probe."""
        config = self.about["network"]
        if config["method"] == "linear":
            return maps[-1]
        branches = torch.zeros_like(maps[0])
        blocks = iter(self.blocks)

        def block(prefix_sum):
            nonlocal branches
            for module in next(blocks):
                branches = branches + module(prefix_sum + branches)

        prefix_sum = maps[0]
        if config["variant"] == "c":
            block(prefix_sum)
        for z in maps[1:]:
            if config["variant"] == "b":
                block(prefix_sum)
            prefix_sum = prefix_sum + z
            if config["variant"] != "b":
                block(prefix_sum)
        return (maps[-1] if config["bias_correction"] else prefix_sum) + branches

    def forward(self, maps):
        """maps: [B, n, D] for each of `layers`, fp32  ->  logits [B, classes]"""
        output = self.output(maps)
        pool = self.about["network"]["pool"]
        if pool == "cls":
            pooled = output[:, 0]
        elif pool == "mean-patch":
            pooled = output[:, self.about["backbone"]["prefix_tokens"]:].mean(1)
        else:
            pooled = output.mean(1)
        return self.head(self.norm(pooled))


class Ensemble(nn.Module):
    """Networks that answer together: the mean of their probabilities.

    forward() gives its logarithm, so that softmax(forward(..)) is that mean, as for a network.
    """

    def __init__(self, members):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.about = members[0].about
        self.class_names = members[0].class_names
        self.layers = sorted({layer for member in members for layer in member.layers})

    def forward(self, maps):
        by_layer = dict(zip(self.layers, maps))
        probabilities = [member([by_layer[layer] for layer in member.layers]).softmax(-1)
                         for member in self.members]
        return torch.stack(probabilities).mean(0).log()


def _crc32c(data):
    """CRC-32C (Castagnoli) of bytes, of many pieces at once: byte by byte would take seconds."""
    import numpy as np
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = table >> 1 ^ (table & 1) * np.uint32(0x82f63b78)
    length = 4096
    # Zero bytes in front leave a state of zero as it is; the initial state goes into the first bytes.
    padded = bytearray(-len(data) % length) + bytearray(data)
    start = len(padded) - len(data)
    padded[start:start + 4] = bytes(byte ^ 255 for byte in padded[start:start + 4])
    columns = np.ascontiguousarray(np.frombuffer(padded, np.uint8).reshape(-1, length).T)
    states = np.zeros(columns.shape[1], np.uint32)
    shifted = np.uint32(1) << np.arange(32, dtype=np.uint32)  # `length` zero bytes after each bit
    for column in columns:
        states = table[states.astype(np.uint8) ^ column] ^ states >> 8
        shifted = table[shifted.astype(np.uint8)] ^ shifted >> 8
    crc, shifted = 0, shifted.tolist()
    for state in states.tolist():
        for bit, moved in enumerate(shifted):
            if crc >> bit & 1:
                state ^= moved
        crc = state
    return crc ^ 0xffffffff


def _check_checksum(path):
    """A ValueError where a file is not what its own checksum says (common/tensor_file/file_checksum.h)."""
    with open(path, "rb") as file:
        data = file.read()
    key = b'{"__metadata__":{"crc32c":"'
    if data[8:8 + len(key)] != key:
        return  # saved again by other programs
    place = 8 + len(key)
    stored, computed = data[place:place + 8], _crc32c(data[:place] + b"0" * 8 + data[place + 8:])
    if stored != b"%08x" % computed:
        raise ValueError(f"{path} is damaged: its checksum is {computed:08x}, expected "
                         f"{stored.decode('ascii', 'replace')}")


def load(path):
    """A SideNetwork or an Ensemble, by what the file holds. Another or a damaged file is a ValueError."""
    _check_checksum(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    kind = metadata.get("format")
    if kind not in ("last-network-1", "last-ensemble-1"):
        raise ValueError(f"{path} is neither a side network nor an ensemble of `trainer`")
    about = json.loads(metadata["last"])
    if kind == "last-network-1":
        return _network(about, tensors, "")
    return Ensemble([_network(one, tensors, f"networks.{j}.")
                     for j, one in enumerate(about["networks"])])


def _network(about, tensors, prefix):
    network = SideNetwork(about)
    # blocks.{i}.modules.{t}.NAME in the file; torch can't have a submodule called modules.
    own = {name[len(prefix):].replace(".modules.", "."): tensor
           for name, tensor in tensors.items() if name.startswith(prefix)}
    network.load_state_dict(own)
    return network


class LastModel(nn.Module):
    """A frozen ViT of timm and what load() gives, as one module: images [B, 3, H, W] -> logits.

    The side network was trained on maps in the type that the feature store held them in
    (about["features"]["store"]); with round_maps they are rounded to it here as well. `weights`: the
    checkpoint file of the backbone, for a ValueError where it isn't the one that was trained on.
    """

    def __init__(self, backbone, side, weights=None, round_maps=True):
        super().__init__()
        if weights is not None:
            check_weights(weights, side)
        about = side.about["backbone"]
        if len(backbone.blocks) != about["depth"]:
            raise ValueError(f"the backbone has {len(backbone.blocks)} blocks, the network was "
                             f"trained on {about['depth']} ({about['name']})")
        self.backbone = backbone.requires_grad_(False).eval()
        self.side = side
        self.store = STORES[side.about["features"]["store"]] if round_maps else torch.float32

    def train(self, mode=True):
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def maps(self, images):
        """The maps that the side network reads: a list of [B, n, D] in fp32."""
        found = {}

        def keep(layer):
            def hook(_module, inputs, output=None):
                found[layer] = inputs[0] if output is None else output
            return hook

        blocks = self.backbone.blocks
        hooks = [blocks[0].register_forward_pre_hook(keep(0)) if layer == 0
                 else blocks[layer - 1].register_forward_hook(keep(layer))
                 for layer in self.side.layers]
        try:
            self.backbone.forward_features(images)
        finally:
            for hook in hooks:
                hook.remove()
        about = self.side.about["backbone"]
        shape = (len(images), about["tokens"], about["dim"])
        for layer, z in found.items():
            if z.shape != shape:
                raise ValueError(f"map {layer} has the shape {tuple(z.shape)}, the network was "
                                 f"trained on {shape}: {about['name']}")
        return [found[layer].to(self.store).float() for layer in self.side.layers]

    def forward(self, images):
        return self.side(self.maps(images))


def preprocess(image, side):
    """A PIL image -> [3, H, W] in fp32, as `extractor` made the features of this network."""
    import numpy as np
    from PIL import Image
    how = side.about["features"]["preprocessing"]
    width, height = how["resize"]
    resampling = {"bicubic": Image.Resampling.BICUBIC,
                  "bilinear": Image.Resampling.BILINEAR}[how["interpolation"]]
    image = image.convert("RGB")
    if how["crop"] == "none":
        image = image.resize((width, height), resampling)
    else:  # shorter side to S, the longer one truncated; then the centre
        side_length = int(how["crop"].removeprefix("center:"))
        short, long = sorted(image.size)
        longer = int(side_length * long / short)
        size = (side_length, longer) if image.width <= image.height else (longer, side_length)
        image = image.resize(size, resampling)
        left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
        image = image.crop((left, top, left + width, top + height))
    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / np.float32(255))
    return ((pixels - torch.tensor(how["mean"])) / torch.tensor(how["std"])).permute(2, 0, 1)


def check_weights(path, side):
    """A ValueError where a checkpoint is not the one whose features the network was trained on."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) \
            else hashlib.sha256(file.read()).hexdigest()
    expected = side.about["backbone"]["weights_sha256"]
    if found != expected:
        raise ValueError(f"{path} is not the checkpoint that the network was trained on: its "
                         f"SHA-256 is {found}, expected {expected}")


def main():
    parser = argparse.ArgumentParser(description="Classifies images with a network of `trainer`.")
    parser.add_argument("network", help="file of `trainer export`")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--timm", required=True, metavar="NAME", help="timm's name of the ViT")
    parser.add_argument("--weights", required=True, help="the checkpoint that `extractor` ran")
    arguments = parser.parse_args()
    import timm
    from PIL import Image
    side = load(arguments.network)
    check_weights(arguments.weights, side)  # before timm complains of another's shapes
    backbone = timm.create_model(arguments.timm, checkpoint_path=arguments.weights)
    model = LastModel(backbone, side).eval()
    for path in arguments.images:
        with torch.no_grad():
            probabilities = model(preprocess(Image.open(path), side)[None]).softmax(-1)[0]
        best = int(probabilities.argmax())
        print(f"{path},{side.class_names[best] if side.class_names else best},"
              f"{probabilities[best]:.4f}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"last_torch.py: error: {error}")
