"""Runs `trainer run` on tiny stores, and reads what it leaves."""

import json
import subprocess

import h5py
import numpy as np
import torch
from safetensors import safe_open

import network_reference
from paths import tool

# The first of networks.csv.
COLUMNS = ("network,stage,method,target,rank,gap,heads,modules,variant,bias_correction,biases,pool,"
           "norm,learning_rate,head_learning_rate_scale,weight_decay,label_smoothing,seed,epochs,"
           "parameters,parameters_without_head,train_data,train_loss,val_accuracy,test_accuracy,"
           "seconds,status,val_loss").split(",")
SHORT = {"--epochs": "4", "--warmup-epochs": "1", "--batch-size": "16", "--rank": "4"}


def command(tiny, run, *options, data=("train", "val", "test")):
    arguments = [tool("trainer"), "run", "--run", run]
    for name in data:
        arguments += [f"--{name}", tiny[name]]
    for name, value in SHORT.items():
        if name not in options:
            arguments += [name, value]
    return [str(a) for a in arguments + list(options)]


def train(tiny, run, *options, **keywords):
    result = subprocess.run(command(tiny, run, *options, **keywords), capture_output=True,
                            text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result


def failing(arguments, status):
    result = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=False)
    assert result.returncode == status, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("trainer: error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def tensors(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def description(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["last"])


def same_networks(a, b, indices):
    for index in indices:
        first, second = (tensors(run / "networks" / f"{index}.safetensors") for run in (a, b))
        assert first.keys() == second.keys()
        for name in first:
            assert torch.equal(first[name], second[name]), f"network {index}: {name}"


def reference_logits(network_path, store_path):
    """The exported network on the stored features, with the independent PyTorch version."""
    about, t = description(network_path), tensors(network_path)
    config, backbone = about["network"], about["backbone"]
    blocks = []
    while f"blocks.{len(blocks)}.modules.0.norm.weight" in t:
        block = []
        for m in range(config["modules"]):
            prefix = f"blocks.{len(blocks)}.modules.{m}."
            p = {"gamma": t[prefix + "norm.weight"], "beta": t[prefix + "norm.bias"],
                 "up": t[prefix + "up.weight"].T}
            for short, name in (("q", "query"), ("k", "key"), ("v", "value"), ("up", "up")):
                if prefix + name + ".bias" in t:
                    p[short + "_bias"] = t[prefix + name + ".bias"]
                if short != "up":
                    p[short] = t[prefix + name + ".weight"].T
            block.append({key: value.double() for key, value in p.items()})
        blocks.append(block)
    with h5py.File(store_path) as store:
        features = torch.from_numpy(store["features"][:].astype(np.float64))
        labels = store[f"labels/{about['target']}"][:]
    maps = [features[:, i] for i in range(0, backbone["depth"] + 1, config["gap"])]
    if config["method"] == "linear":
        maps = [features[:, -1]]
    output = network_reference.output_of(maps, blocks, config)
    if config["pool"] == "cls":
        pooled = output[:, 0]
    else:
        pooled = output[:, backbone["prefix_tokens"]:].mean(1)
    if config["norm"] != "none":
        pooled = torch.nn.functional.layer_norm(
            pooled, pooled.shape[-1:], t["norm.weight"].double(), t["norm.bias"].double(),
            backbone["norm_eps"])
    return pooled @ t["head.weight"].double().T + t["head.bias"].double(), labels
