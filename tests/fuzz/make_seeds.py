"""Makes tests/fuzz/corpus: small seeds for the fuzz targets, of files that are right and of files
that are nearly so. Run after a change: .venv/bin/python tests/fuzz/make_seeds.py

Seeds whose names start with crash- are inputs that once did harm; they are kept as they are."""

import io
import json
import pathlib
import struct
import zipfile

import numpy as np
from PIL import Image

CORPUS = pathlib.Path(__file__).parent / "corpus"


def save(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def tensor(begin, end, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors(header, data):
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def make_safetensors():
    target = "safetensors"
    save(target, "empty", safetensors({}, b""))
    save(target, "one", safetensors({"a": tensor(0, 8, [2])}, bytes(8)))
    types = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
             "BOOL": 1}
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, size in types.items():
        header[f"weight.{name}"] = tensor(offset, offset + 2 * size, [2, 1], name)
        offset += 2 * size
    save(target, "all_types", safetensors(header, bytes(offset)))
    save(target, "scalar_and_empty", safetensors(
        {"scalar": tensor(0, 4, []), "empty": tensor(4, 4, [0, 7])}, bytes(4)))
    save(target, "overlap", safetensors({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, bytes(12)))
    save(target, "overflow", safetensors({"a": tensor(0, 0, [2**32, 2**32])}, b""))
    save(target, "nested", struct.pack("<Q", 26) + b'{"a":{"b":{"c":{"d":[{}]}}}}'[:26])
    save(target, "long_header", struct.pack("<Q", 2**40) + b"{}")


def make_images():
    picture = Image.linear_gradient("L").resize((19, 11)).convert("RGB")
    picture = Image.merge("RGB", (picture.getchannel(0), picture.getchannel(1).rotate(180),
                                  picture.getchannel(2)))

    def encode(name, image, format, **options):
        out = io.BytesIO()
        image.save(out, format, **options)
        save("image", name, out.getvalue())

    encode("rgb.jpg", picture, "JPEG", quality=50)
    encode("gray.jpg", picture.convert("L"), "JPEG", quality=50)
    encode("cmyk.jpg", picture.convert("CMYK"), "JPEG", quality=50)
    encode("progressive.jpg", picture, "JPEG", progressive=True, quality=50)
    encode("restart.jpg", picture, "JPEG", restart_marker_blocks=1, quality=50)
    encode("rgb.png", picture, "PNG")
    encode("rgba.png", picture.convert("RGBA"), "PNG")
    encode("palette.png", picture.quantize(5), "PNG", transparency=1, bits=4)
    encode("one_bit.png", picture.convert("1"), "PNG")
    encode("rgb.bmp", picture, "BMP")
    encode("rgba.tiff", picture.convert("RGBA"), "TIFF")
    encode("rgb.webp", picture, "WEBP")
    encode("rgb.ppm", picture, "PPM")
    encode("rgb.gif", picture, "GIF")


def make_image_lists():
    target = "image_list"
    save(target, "plain.txt", "# a comment\na.jpg 0\nb c.jpg 12\n\nd.png\n")
    save(target, "names.txt", "\ufeffa.jpg dog\r\nb.jpg cat\r\n")
    save(target, "table.csv", 'path,kind,"two ""words"""\r\na.jpg,dog,1\r\n"b,\nc.jpg",cat,\r\n')
    save(target, "no_labels.csv", "path\na.jpg\n\nb.jpg")
    save(target, "wrong.csv", 'path,a\n"x"y,1\n"never ends')
    save(target, "fractions.txt", "a.jpg 0.5\nb.jpg 1e3\nc.jpg -0x1p3\n")
    save(target, "large.txt", "a.jpg 99999999999999999999\nb.jpg -3\nc.jpg 10000001\n")


def make_label_files():
    """Samples: a.jpg, b.jpg, "c d.jpg", e.jpg, "f,\"g\".jpg"; tests/fuzz/label_file.cpp."""
    target = "label_file"
    save(target, "names.csv", "path,kind\na.jpg,dog\nb.jpg,cow\nc d.jpg,\n")
    save(target, "indices.csv", "path,index,new\r\ne.jpg,12,0\r\na.jpg,,1\r\n")
    save(target, "quoted.csv", '\ufeffpath,"a ""b""",kind\n"f,""g"".jpg","x\ny",7\nbad.jpg,z,\n')
    save(target, "known_numbers.csv", "path,kind\na.jpg,7\ne.jpg,7\n")
    save(target, "names_where_indices_are.csv", "path,index\na.jpg,x\n")
    save(target, "all_named.csv", "path,index,kind\n" + "".join(
        f"{name},c{number},{number}\n" for number, name in enumerate(
            ["a.jpg", "b.jpg", "c d.jpg", "bad.jpg", "e.jpg", '"f,""g"".jpg"'])))
    save(target, "emptied.csv", "path,kind\na.jpg,\nb.jpg,\nc d.jpg,\nbad.jpg,\n")
    save(target, "wrong.csv", "path,a,a\nz.jpg,1\n")
    save(target, "unknown_sample.csv", "path,a\nz.jpg,-1\ny.jpg,1.5\n")
    save(target, "latin1.csv", "path,kind\na.jpg,Käfer\nb.jpg,Vögel\n".encode("latin-1"))
    save(target, "zero_byte.csv", "path,kind\na.jpg,do\0g\n")


def make_npz():
    target = "npz"

    def array(descr="'<f4'", order="False", shape="(2, 2)", data=bytes(16), version=1):
        text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
        length = struct.pack("<H" if version == 1 else "<I", len(text))
        return b"\x93NUMPY" + bytes([version, 0]) + length + text + data

    def archive(name, *entries):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as file:
            for inside, data, method in entries:
                file.writestr(zipfile.ZipInfo(inside), data, method)  # ZipInfo: without today's date
        save(target, name, b"z" + out.getvalue())
        return out.getvalue()

    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for name, value in {"float": values, "order": np.asfortranarray(values), "half": values[0].astype("f2"),
                        "scalar": values[0, 0], "empty": values[:0], "text": np.array(["a"])}.items():
        out = io.BytesIO()
        np.save(out, value)
        save(target, f"array_{name}", b"a" + out.getvalue())
    save(target, "array_bfloat16", b"a" + array("'|V2'", shape="(8,)"))
    save(target, "array_version_2", b"a" + array(version=2))
    save(target, "array_overflow", b"a" + array(shape=f"({2**32}, {2**32}, 0)", data=b""))
    save(target, "array_long_header", b"a" + array("'<f4'" + " " * 300))
    save(target, "array_huge_header", b"a\x93NUMPY\x02\0\xff\xff\xff\xff{'descr'")
    stored, packed = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    archive("stored", ("a/b.npy", array(), stored), ("c.npy", array(shape="(4,)"), stored))
    archive("packed", ("a.npy", array(shape="(64,)", data=bytes(256)), packed))
    archive("other_file", ("a.txt", b"hello", stored))
    archive("bzip2", ("a.npy", array(), zipfile.ZIP_BZIP2))
    bomb = archive("bomb", ("a.npy", array(shape="(500000,)", data=bytes(2000000)), packed))
    claims = bytearray(bomb)
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # the unpacked size
        struct.pack_into("<I", claims, claims.index(mark) + place, 2**32 - 2)
    save(target, "claims_more", b"z" + bytes(claims))
    # An archive inside an array, whose entries are also entries of the outer one: repeated, such
    # files unpack to sizes that grow with the square of their own.
    inner = archive("stored_bytes", ("b.npy", array("'|u1'", shape="(2000,)", data=bytes(2000)), stored))
    inside, listed = inner[:inner.index(b"PK\x01\x02")], inner[inner.index(b"PK\x01\x02"):-22]
    outer = archive("nested", ("a.npy", array("'|u1'", shape=f"({len(inside)},)", data=inside), stored))
    listed = listed[:42] + struct.pack("<I", outer.index(inside)) + listed[46:]
    end = bytearray(outer[-22:])
    struct.pack_into("<HHI", end, 8, 2, 2, len(outer) - outer.rindex(b"PK\x01\x02") - 22 + len(listed))
    save(target, "overlap", b"z" + outer[:-22] + listed + bytes(end))


def make_sidecars():
    target = "sidecar"
    timm = {"architecture": "vit_base_patch16_clip_quickgelu_224", "num_features": 768,
            "model_args": {"num_heads": 12, "img_size": [224, 224]},
            "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
                               "input_size": [3, 224, 224]}}
    vision = {"hidden_size": 192, "num_attention_heads": 3, "layer_norm_eps": 1e-12,
              "hidden_act": "gelu_pytorch_tanh", "image_size": 224}
    preprocessor = {"image_mean": [0.48, 0.45, 0.4], "image_std": [0.2, 0.2, 0.2]}
    save(target, "timm", json.dumps(timm))
    save(target, "transformers", json.dumps(vision) + "\0" + json.dumps(preprocessor))
    save(target, "clip", json.dumps({"vision_config": vision}))
    save(target, "numbers", '{"hidden_size":-1,"image_size":[1e400,1],"num_attention_heads":1e300}')
    save(target, "too_large", '{"hidden_size":1e300,"image_size":[9223372036854775808,1e30],'
                              '"num_attention_heads":18446744073709551615}')
    save(target, "wrong", '{"architecture": 3}\0[]')


def make_checkpoints():
    """The shapes of the committed models of every family, and shapes that can't be."""
    target = "checkpoint"
    reference = CORPUS.parents[1] / "extractor" / "backbone" / "reference"

    def lines(shapes):
        return "\n".join(" ".join([name, *map(str, shape)]) for name, shape in shapes.items())

    for path in sorted(reference.glob("*.safetensors")):
        with open(path, "rb") as file:
            length, = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        if not path.stem.endswith("_maps") and path.stem != "positions":
            save(target, path.stem, lines({name: entry["shape"] for name, entry in header.items()
                                           if name != "__metadata__"}))
    for path in sorted(reference.glob("*.npz")):
        with np.load(path) as arrays:
            save(target, path.stem, lines({name: array.shape for name, array in arrays.items()}))
    timm = {"patch_embed.proj.weight": [8, 3, 2, 2], "patch_embed.proj.bias": [8],
            "cls_token": [1, 1, 8], "pos_embed": [1, 5, 8], "blocks.0.norm1.weight": [8],
            "blocks.0.attn.qkv.weight": [24, 8], "blocks.0.mlp.fc1.weight": [16, 8],
            "blocks.0.mlp.fc2.weight": [8, 16]}
    save(target, "config", lines(timm) + '\0{"hidden_size":8,"num_attention_heads":2,"image_size":4,'
         '"num_hidden_layers":1,"hidden_act":"relu"}')
    save(target, "large", lines({**timm, "pos_embed": [1, 2**40, 0], "blocks.0.attn.q.bias": [2**40, 0]}))
    save(target, "empty_patches", lines({**timm, "patch_embed.proj.weight": [8, 3, 0, 0]}))
    save(target, "long_name", lines({**timm, "blocks.0." + "x" * 5000: [1]}))


def make_options():
    target = "options"
    save(target, "all.ini", "# a comment\ntrain = a.h5,b.h5\nseed = 0,1,2\nrate = 1e-3,0.5\n"
                            "memory = 1.5GiB\ntime-limit = 1:30:00\nbiases = on\nmany = a\n"
                            "many = b\ndry-run = yes\n")
    save(target, "wrong.ini", "[section]\nseed = 99999999999999999999\nrate = nan,inf,1e999\n"
                              "memory = 9e99T\ntime-limit = 1:2:3:4\nbiases = perhaps\n")
    save(target, "unknown.ini", "seeed = 1\n")
    save(target, "no_value.ini", "train\n= 3\n")


def network_description():
    network = {"method": "last", "rank": 2, "gap": 1, "heads": 1, "modules": 1, "variant": "d",
               "bias_correction": True, "biases": True, "pool": "cls", "norm": "trainable"}
    backbone = {"name": "tiny", "weights_sha256": "00", "depth": 1, "dim": 8, "tokens": 5,
                "prefix_tokens": 1, "has_cls_token": True, "grid": [2, 2], "layers": [0, 1],
                "norm_eps": 1e-6}
    return {"network": network, "backbone": backbone, "classes": 3, "target": "shape",
            "class_names": ["a", "b", "c"], "features": {"preprocessing": {"resize": [32, 32]}},
            "training": {"seed": 0}}


def make_networks():
    target = "network_file"

    def described(**changes):
        description = network_description()
        for path, value in changes.items():
            part, _, key = path.partition("__")
            if key:
                description[part][key] = value
            else:
                description[part] = value
        return description

    def variant(name, **changes):
        save(target, name, json.dumps(described(**changes), separators=(",", ":")))

    variant("trainable")
    variant("frozen", network__norm="frozen")
    variant("linear", network__method="linear", network__norm="none")
    variant("variant_c", network__variant="c")
    variant("plain", network__biases=False, network__norm="none", network__variant="b")
    variant("other_sizes", backbone__dim=2**40, backbone__layers=[0])
    variant("negative", network__rank=-2, network__heads=0, classes=-1)
    variant("many_modules", network__modules=2**20)
    variant("wrong_types", backbone="none", network__gap=1.5, class_names=[1])
    for name, second in (("bundle", described(network__biases=False)),
                         ("bundle_differs", described(target="other"))):
        save(target, name, json.dumps({"networks": [network_description(), second]}))


def make_stores():
    target = "store"
    extents = struct.pack("<4Q", 64, 100, 512, 1000) + bytes(12 * 8)
    footer = b"LASTFS\r\n" + struct.pack("<IIQQII", 1, 2, 8192, 8192, 0, 2) + extents
    save(target, "footer", b"f" + footer)
    save(target, "footer_partial", b"f" + footer.replace(struct.pack("<II", 1, 2),
                                                         struct.pack("<II", 1, 1)))
    overlap = struct.pack("<4Q", 512, 2**64 - 8, 64, 2**63) + bytes(12 * 8)
    save(target, "footer_overlap", b"f" + footer[:40] + overlap)
    config = {"features": {"layers": [0, 2], "preprocessing": {"resize": [224, 224]}},
              "run": {"batch_size": 4, "max_pixels": 9}}
    other = {"features": {"layers": [0, 2], "preprocessing": {"resize": [224, 240]}}, "run": 3}
    save(target, "configurations", "j" + json.dumps(config) + "\0" + json.dumps(other))
    save(target, "names", "n" + "\0".join(["a.00000-of-00002.h5", "a.00001-of-00002.h5.partial"]))
    save(target, "names_both", "n" + "\0".join(["a.h5", "a.00001-of-00003.h5", "a.00001-of-99999.h5"]))
    save(target, "names_odd", "n" + "\0".join(["a.0001-of-00002.h5", ".00000-of-00001.h5", "a.h5.lock",
                                               "a.00002-of-00002.h5", "\u00e9.h5"]))


if __name__ == "__main__":
    make_safetensors()
    make_images()
    make_image_lists()
    make_label_files()
    make_npz()
    make_sidecars()
    make_checkpoints()
    make_options()
    make_networks()
    make_stores()
