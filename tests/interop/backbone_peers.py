"""Runs small random models of other libraries and the C++ backbone side by side.

Every parameter is random: libraries start LayerScale at 1e-5, biases at 0 and norms at 1, where a
swapped bias or a missing block would not show.
"""
import contextlib
import functools
import json
import subprocess

import open_clip
import timm
import torch
from safetensors.torch import load_file, save_file

from paths import tool

TOOL = tool("backbone_tool")


def randomise(model, seed=0):
    """Values of the size that trained models have, none of them special."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim >= 2 and not any(t in name for t in ("token", "embed", "position")):
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            elif parameter.ndim == 1 and name.endswith("weight") or "gamma" in name or (
                    "lambda" in name):
                parameter.copy_(1 + 0.3 * noise)
            else:
                parameter.copy_(0.3 * noise)
    return model.eval()


def images(height, width=None, count=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, height, width or height, generator=generator)


@functools.cache
def started_tool():
    """One process for all tests: it would take longer to start than most of its jobs."""
    return subprocess.Popen([str(TOOL)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(*arguments):
    """Status and texts as a process of its own would give them."""
    process = started_tool()
    line = ""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    if not line:
        started_tool.cache_clear()  # it has died of this; others get a new one
        raise AssertionError(f"{TOOL} ended with {process.wait()}: {arguments}")
    found = json.loads(line)
    return subprocess.CompletedProcess(arguments, found["status"], found["stdout"], found["stderr"])


def run_tool(folder, weights, pixels, *options, fails=False):
    save_file({"images": pixels.contiguous()}, str(folder / "input.safetensors"))
    done = answer(weights, folder / "input.safetensors", folder / "maps.safetensors", *options)
    if fails:
        assert done.returncode == 1, done.stderr
        return done.stderr
    assert done.returncode == 0, done.stderr
    return load_file(str(folder / "maps.safetensors")), json.loads(done.stdout)


def assert_same_maps(ours, theirs, tolerance=1e-5, channel_tolerance=1e-3):
    """ours [B, layers, n, D]; theirs: a list of [B, n, D]."""
    assert ours.shape[1] == len(theirs)
    for layer, expected in enumerate(theirs):
        found = ours[:, layer]
        assert found.shape == expected.shape, layer
        difference = (found.double() - expected.double()).abs()
        assert difference.max() <= tolerance * expected.abs().max(), (layer, difference.max())
        spread = expected.double().flatten(0, 1).std(0)
        assert (difference.flatten(0, 1).max(0).values <= channel_tolerance * spread).all(), layer


def timm_maps(model, pixels):
    """z_0 and the output of every block, by hooks: independent of timm's own feature functions."""
    maps = []
    hooks = [model.blocks[0].register_forward_pre_hook(lambda _, args: maps.append(args[0].clone()))]
    hooks += [block.register_forward_hook(lambda _, __, out: maps.append(out.clone()))
              for block in model.blocks]
    with torch.no_grad():
        model.forward_features(pixels)
    for hook in hooks:
        hook.remove()
    return maps


def save_state(model, path, rename=None):
    state = {(rename(k) if rename else k): v.contiguous().clone()
             for k, v in model.state_dict().items()}
    save_file(state, str(path))


def block_maps(model, blocks, pixels, **arguments):
    """Like timm_maps, for blocks of any library; [B, n, D] wherever the batch is."""
    maps = []
    hooks = [blocks[0].register_forward_pre_hook(
        lambda _, args, kwargs: maps.append((args[0] if args else kwargs["hidden_states"]).clone()),
        with_kwargs=True)]
    hooks += [block.register_forward_hook(
        lambda _, __, out: maps.append((out[0] if isinstance(out, tuple) else out).clone()))
              for block in blocks]
    with torch.no_grad():
        model(pixels, **arguments)
    for hook in hooks:
        hook.remove()
    return maps


def transformers_blocks(model):
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and name.split(".")[-1] in ("layer", "layers"):
            return module
    raise AssertionError("no blocks found")


def resized_open_clip(tower, larger):
    """`larger` with the tower's weights, by open_clip's own loader: bicubic, antialiased."""
    holder = torch.nn.Module()
    holder.visual = larger.eval()
    state = {"visual." + name: value for name, value in tower.state_dict().items()}
    open_clip.model.resize_pos_embed(state, holder)
    holder.load_state_dict(state)
    return larger


SMALL = dict(img_size=48, patch_size=16, embed_dim=32, depth=3, num_heads=4, num_classes=5)


def small_model(**changes):
    return randomise(timm.models.vision_transformer.VisionTransformer(**{**SMALL, **changes}))
