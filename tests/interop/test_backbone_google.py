"""Google's .npz checkpoints, as timm's loader reads them, and FlexiViT's patches of any size."""
import numpy as np
import pytest
import timm

from backbone_peers import assert_same_maps, images, run_tool, save_state, small_model, timm_maps


def flax_names(model, big_vision, stacked):
    """The inverse of timm's _load_weights."""
    state = {k: v.detach().numpy() for k, v in model.state_dict().items()}
    heads, dim = model.blocks[0].attn.num_heads, model.embed_dim
    attention, second, mlp = (0, 1, 0) if big_vision else (1, 2, 3)
    flax = {"embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
            "embedding/bias": state["patch_embed.proj.bias"],
            "pos_embedding" if big_vision else "Transformer/posembed_input/pos_embedding":
                state["pos_embed"],
            "Transformer/encoder_norm/scale": state["norm.weight"],
            "Transformer/encoder_norm/bias": state["norm.bias"]}
    if "cls_token" in state:
        flax["cls"] = state["cls_token"]
    blocks = []
    for i in range(len(model.blocks)):
        block = {}
        for name, norm in (("LayerNorm_0", "norm1"), (f"LayerNorm_{second}", "norm2")):
            block[f"{name}/scale"] = state[f"blocks.{i}.{norm}.weight"]
            block[f"{name}/bias"] = state[f"blocks.{i}.{norm}.bias"]
        mha = f"MultiHeadDotProductAttention_{attention}"
        for j, name in enumerate(("query", "key", "value")):
            rows = slice(j * dim, (j + 1) * dim)
            weight = state[f"blocks.{i}.attn.qkv.weight"][rows]
            block[f"{mha}/{name}/kernel"] = weight.T.reshape(dim, heads, -1)
            block[f"{mha}/{name}/bias"] = state[f"blocks.{i}.attn.qkv.bias"][rows].reshape(heads, -1)
        block[f"{mha}/out/kernel"] = state[f"blocks.{i}.attn.proj.weight"].T.reshape(heads, -1, dim)
        block[f"{mha}/out/bias"] = state[f"blocks.{i}.attn.proj.bias"]
        for j in (0, 1):
            block[f"MlpBlock_{mlp}/Dense_{j}/kernel"] = state[f"blocks.{i}.mlp.fc{j + 1}.weight"].T
            block[f"MlpBlock_{mlp}/Dense_{j}/bias"] = state[f"blocks.{i}.mlp.fc{j + 1}.bias"]
        blocks.append(block)
    for name in blocks[0]:
        if stacked:
            flax[f"Transformer/encoderblock/{name}"] = np.stack([b[name] for b in blocks])
        else:
            for i, block in enumerate(blocks):
                flax[f"Transformer/encoderblock_{i}/{name}"] = block[name]
    return flax


OTHERS = {"": dict(), "opt/target/": {"opt/state/step": np.int32(7)},
          "params/": {"opt/0/count": np.int32(7)},
          "params/img/": {"params/txt/Embed_0/embedding": np.ones((3, 4), np.float32),
                          "params/t": np.float32(1), "params/img/MAPHead_0/probe": np.ones((1, 1, 32))}}


def write_npz(path, model, prefix, big_vision, stacked=False, save=np.savez):
    flax = {prefix + name: array for name, array in flax_names(model, big_vision, stacked).items()}
    save(path, **flax, **OTHERS[prefix])


@pytest.mark.parametrize("prefix,big_vision,stacked,save", [
    ("", False, False, np.savez), ("opt/target/", False, False, np.savez_compressed),
    ("params/", True, False, np.savez), ("params/img/", True, True, np.savez),
    ("params/img/", True, True, np.savez_compressed)])
def test_npz(tmp_path, prefix, big_vision, stacked, save):
    options = dict(class_token=False, global_pool="avg", fc_norm=False) if "img" in prefix else dict(
        no_embed_class=big_vision)
    path = tmp_path / "weights.npz"
    write_npz(path, small_model(**options), prefix, big_vision, stacked, save)
    peer = small_model(**options)
    for parameter in peer.parameters():
        parameter.data.zero_()
    peer.load_pretrained(str(path))
    maps, report = run_tool(tmp_path, path, images(48))
    assert_same_maps(maps["maps"], timm_maps(peer, images(48)))
    assert report["config"]["heads"] == 4  # by the kernels' shape
    activation = next(d for d in report["decided"] if d["what"] == "activation")
    assert activation["assumed"] and activation["option"] == "--activation"


@pytest.mark.parametrize("damage,expected", [
    (lambda f: f.pop("Transformer/encoderblock_1/LayerNorm_0/bias"), '"Transformer/encoderblock_1/LayerNorm_0/bias" [32] is missing'),
    (lambda f: f.update({"Transformer/encoderblock_0/LayerNorm_5/bias": np.ones(32, np.float32)}),
     '"Transformer/encoderblock_0/LayerNorm_5/bias" [32] has no place'),
    (lambda f: f.update({"Transformer/encoder_norm/scale": np.ones(31, np.float32)}),
     '"Transformer/encoder_norm/scale": shape [32] expected, found [31]'),
    (lambda f: f.update({"conv_root/kernel": f.pop("embedding/kernel")}), "a ViT on top of a ResNet"),
])
def test_npz_defects(tmp_path, damage, expected):
    flax = flax_names(small_model(), False, False)
    damage(flax)
    np.savez(tmp_path / "weights.npz", **flax)
    error = run_tool(tmp_path, tmp_path / "weights.npz", images(48), fails=True)
    assert expected in error and "weights.npz" in error and error.count("\n") == 1, error


@pytest.mark.parametrize("patch,size", [(8, (48, 48)), (24, (72, 48)), ((12, 20), (60, 60))])
def test_patch_size(tmp_path, patch, size):
    model = small_model(no_embed_class=True)
    save_state(model, tmp_path / "model.safetensors")
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = timm.models.vision_transformer.VisionTransformer(
        img_size=size, patch_size=patch, embed_dim=32, depth=3, num_heads=4, num_classes=5,
        no_embed_class=True).eval()
    other.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(
        state, other, interpolation="bicubic", antialias=True))
    text = patch if isinstance(patch, int) else f"{patch[1]}x{patch[0]}"
    maps, report = run_tool(tmp_path, tmp_path / "model.safetensors", images(*size), "heads=4",
                            f"patch-size={text}")
    assert_same_maps(maps["maps"], timm_maps(other, images(*size)))
    assert any("--patch-size" in note for note in report["notes"])
