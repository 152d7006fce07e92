"""LAST in PyTorch, written from the paper's equations alone: u_i = F_i(u_{i-1} + z_i), output =
u_m - sum_{i<m} z_i, in fp64 with autograd. It shares no code and no form with the C++ library.

`python network_reference.py FILE [SEED]` writes reference cases: inputs, parameters, logits, loss and
all gradients, one case per option of the method.
"""

import json
import math
import sys

import torch
from safetensors.torch import save_file

DEFAULTS = dict(method="last", rank=4, gap=1, heads=2, modules=1, variant="d",
                bias_correction=True, biases=False, pool="mean-patch", norm="frozen")

# What differs from the defaults, and from the default sizes and loss.
CASES = {
    "default": {},
    "one_head": dict(heads=1),
    "four_heads": dict(heads=4),
    "gap2": dict(gap=2),
    "two_modules": dict(modules=2, biases=True),
    "variant_b": dict(variant="b"),
    "variant_c": dict(variant="c"),
    "variant_c_gap2_two_modules": dict(variant="c", gap=2, modules=2, biases=True),
    "no_bias_correction": dict(bias_correction=False),
    "no_bias_correction_b": dict(bias_correction=False, variant="b"),
    "biases": dict(biases=True),
    "pool_cls": dict(pool="cls"),
    "pool_mean_all": dict(pool="mean-all"),
    "norm_trainable": dict(norm="trainable"),
    "norm_none": dict(norm="none"),
    "linear": dict(method="linear"),
    "linear_cls_trainable": dict(method="linear", pool="cls", norm="trainable"),
    "label_smoothing": dict(label_smoothing=0.2),
    "unlabelled_rows": dict(unlabelled=[0, 2]),
    "rank_one": dict(rank=1, heads=1),
}


def attention_module(x, p, heads):
    """f(X) = X + concat_h softmax(Q_h K_h^T / sqrt(r/h)) V_h A_up with LN, one image per batch row."""
    y = torch.nn.functional.layer_norm(x, x.shape[-1:], p["gamma"], p["beta"], 1e-6)
    q, k, v = (y @ p[name] + p.get(name + "_bias", 0) for name in ("q", "k", "v"))
    d = q.shape[-1] // heads
    outputs = []
    for h in range(heads):
        part = slice(h * d, (h + 1) * d)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(d)
        outputs.append(torch.softmax(scores, -1) @ v[..., part])
    return x + torch.cat(outputs, -1) @ p["up"] + p.get("up_bias", 0)


def output_of(maps, blocks, config):
    """maps: z_0, z_g, .., z_N as a list of [B, n, D]; blocks: lists of module parameters."""
    if config["method"] == "linear":
        return maps[-1]
    modules = list(blocks)

    def block(u):
        for p in modules.pop(0):
            u = attention_module(u, p, config["heads"])
        return u

    if config["variant"] == "d":
        u = maps[0]
        for z in maps[1:]:
            u = block(u + z)
    elif config["variant"] == "c":
        u = block(maps[0])
        for z in maps[1:]:
            u = block(u + z)
    else:  # b: block i sees the sum up to z_{i-1}
        u = maps[0]
        for z in maps[1:]:
            u = block(u) + z
    return u - sum(maps[:-1]) if config["bias_correction"] else u


def logits_of(features, p, blocks, config, case):
    maps = [features[:, i] for i in range(0, case["depth"] + 1, config["gap"])]
    if config["method"] == "linear":
        maps = [features[:, -1]]
    output = output_of(maps, blocks, config)
    if config["pool"] == "cls":
        pooled = output[:, 0]
    elif config["pool"] == "mean-all":
        pooled = output.mean(1)
    else:
        pooled = output[:, case["prefix_tokens"]:].mean(1)
    if config["norm"] != "none":
        weight = p.get("final_norm_weight", p["backbone_norm_weight"])
        bias = p.get("final_norm_bias", p["backbone_norm_bias"])
        pooled = torch.nn.functional.layer_norm(pooled, pooled.shape[-1:], weight, bias, 1e-5)
    return pooled @ p["head_weight"].T + p["head_bias"]


def make_case(options, generator, sizes):
    options = dict(options)
    smoothing = options.pop("label_smoothing", 0.0)
    unlabelled = options.pop("unlabelled", [])
    config = {**DEFAULTS, **options}
    case = {**sizes, "config": config, "label_smoothing": smoothing}
    dim, depth, rank = case["dim"], case["depth"], config["rank"]

    def random(*shape, scale=1.0):
        value = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale
        return value.float().double()  # exactly what the file will hold

    def leaf(value):
        return value.requires_grad_(True)

    features = random(case["batch"], depth + 1, case["tokens"], dim).cumsum(1).float().double()
    count = 0
    if config["method"] == "last":
        count = depth // config["gap"] + (config["variant"] == "c")
    blocks = []
    for _ in range(count):
        blocks.append([])
        for _ in range(config["modules"]):
            p = {"gamma": leaf(1 + random(dim, scale=0.1)), "beta": leaf(random(dim, scale=0.1))}
            for name in ("q", "k", "v"):
                p[name] = leaf(random(dim, rank, scale=dim ** -0.5))
                if config["biases"]:
                    p[name + "_bias"] = leaf(random(rank, scale=0.1))
            p["up"] = leaf(random(rank, dim, scale=0.3))
            if config["biases"]:
                p["up_bias"] = leaf(random(dim, scale=0.1))
            blocks[-1].append(p)
    p = {"backbone_norm_weight": 1 + random(dim, scale=0.1),
         "backbone_norm_bias": random(dim, scale=0.1),
         "head_weight": leaf(random(case["classes"], dim, scale=0.3)),
         "head_bias": leaf(random(case["classes"], scale=0.1))}
    if config["norm"] == "trainable":
        p["final_norm_weight"] = leaf(1 + random(dim, scale=0.1))
        p["final_norm_bias"] = leaf(random(dim, scale=0.1))
    labels = torch.randint(case["classes"], (case["batch"],), generator=generator)
    for row in unlabelled:
        labels[row] = -1

    logits = logits_of(features, p, blocks, config, case)
    loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-1,
                                             label_smoothing=smoothing)
    loss.backward()

    tensors = {"features": features, "labels": labels.int()[None], "logits": logits[None],
               "loss": loss[None],
               "backbone_norm_weight": p["backbone_norm_weight"],
               "backbone_norm_bias": p["backbone_norm_bias"]}
    tensors.update(stacked(blocks, p, lambda t: t.detach(), "parameters."))
    tensors.update(stacked(blocks, p, lambda t: t.grad, "gradients."))
    return case, {name: t.detach().float().contiguous() if t.is_floating_point() else t
                  for name, t in tensors.items()}


def stacked(blocks, p, get, prefix):
    """The library's stacked layout: [1, M, ...]."""
    modules = [module for block in blocks for module in block]
    tensors = {}
    if modules:
        def stack(f):
            return torch.stack([f(m) for m in modules])[None]
        tensors["norm_weight"] = stack(lambda m: get(m["gamma"]))
        tensors["norm_bias"] = stack(lambda m: get(m["beta"]))
        tensors["qkv_weight"] = stack(lambda m: torch.cat([get(m[n]) for n in "qkv"], -1))
        tensors["up_weight"] = stack(lambda m: get(m["up"]))
        if "up_bias" in modules[0]:
            tensors["qkv_bias"] = stack(
                lambda m: torch.cat([get(m[n + "_bias"]) for n in "qkv"], -1))
            tensors["up_bias"] = stack(lambda m: get(m["up_bias"]))
    for name in ("final_norm_weight", "final_norm_bias", "head_weight", "head_bias"):
        if name in p:
            tensors[name] = get(p[name])[None]
    return {prefix + name: tensor for name, tensor in tensors.items()}


def write(path, seed, sizes):
    generator = torch.Generator().manual_seed(seed)
    cases, tensors = {}, {}
    for name, options in CASES.items():
        cases[name], values = make_case(options, generator, sizes)
        tensors.update({f"{name}/{key}": value for key, value in values.items()})
    save_file(tensors, path, metadata={"cases": json.dumps(cases)})


SMALL = dict(dim=8, depth=2, tokens=5, prefix_tokens=2, batch=3, classes=3)

if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0, SMALL)
