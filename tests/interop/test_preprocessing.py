"""Compares decoding, resizing and normalisation with PIL and torchvision, pixel by pixel."""

import struct
import subprocess

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from paths import ROOT, shared, tool

REFERENCES = ROOT / "tests/extractor/images/references"
MODES = {"bicubic": transforms.InterpolationMode.BICUBIC,
         "bilinear": transforms.InterpolationMode.BILINEAR}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photos():
    folder = shared("data/photos")
    lines = (folder / "photos.txt").read_text().splitlines()
    return [folder / line.rsplit(" ", 1)[0] for line in lines]


def run_tool(arguments, paths, dtype=np.uint8):
    """Per path, or line of mode `each`, an array ([H, W, 3], or [3, H, W] of floats), or the reason
    why it is bad."""
    text = "".join(f"{path}\n" for path in paths).encode()
    result = subprocess.run([tool("preprocess_tool"), *map(str, arguments)], input=text, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stderr == b"", "nothing may be printed"
    data, at, answers = result.stdout, 0, []
    for _ in paths:
        width, height = struct.unpack_from("<ii", data, at)
        at += 8
        if width < 0:
            answers.append(data[at:at + height].decode())
            at += height
            continue
        shape = (height, width, 3) if dtype == np.uint8 else (3, height, width)
        count = 3 * height * width
        answers.append(np.frombuffer(data, dtype, count, at).reshape(shape))
        at += count * np.dtype(dtype).itemsize
    assert at == len(data)
    return answers


def transform(resize, crop, interpolation):
    width, height = (resize, resize) if isinstance(resize, int) else resize
    if crop is None:
        return transforms.Resize((height, width), MODES[interpolation])
    return transforms.Compose([transforms.Resize(crop, MODES[interpolation]),
                               transforms.CenterCrop((height, width))])


def arguments(resize, crop, interpolation):
    resize = str(resize) if isinstance(resize, int) else f"{resize[0]}x{resize[1]}"
    return [resize, "none" if crop is None else f"center:{crop}", interpolation]


def assert_equal(ours, pil, name):
    pil = np.asarray(pil)
    assert not isinstance(ours, str), f"{name}: {ours}"
    assert ours.shape == pil.shape, name
    assert np.array_equal(ours, pil), f"{name}: {(ours != pil).mean():.2%} of the values differ"


def test_photos_decode_like_pil():
    paths = photos()
    for path, ours in zip(paths, run_tool(["decode"], paths)):
        assert_equal(ours, Image.open(path).convert("RGB"), path.name)


@pytest.mark.parametrize("resize,crop,interpolation", [
    (224, None, "bicubic"), (224, 248, "bicubic"), (224, 256, "bilinear"),
    ((320, 200), None, "bilinear"), ((96, 160), 161, "bicubic"), (518, 518, "bicubic")])
def test_photos_resize_like_torchvision(resize, crop, interpolation):
    paths = photos()
    answers = run_tool(["pixels", *arguments(resize, crop, interpolation)], paths)
    expected = transform(resize, crop, interpolation)
    for path, ours in zip(paths, answers):
        assert_equal(ours, expected(Image.open(path).convert("RGB")), path.name)


def test_photos_normalise_like_torchvision():
    paths = photos()[:20]
    answers = run_tool(["floats", *arguments(224, 248, "bicubic")], paths, np.float32)
    whole = transforms.Compose([transform(224, 248, "bicubic"), transforms.ToTensor(),
                                transforms.Normalize(MEAN, STD)])
    for path, ours in zip(paths, answers):
        expected = whole(Image.open(path).convert("RGB")).numpy()
        assert np.array_equal(ours, expected), path.name


def noise(width, height, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


ODD_SIZES = [(1, 1), (1, 7), (5, 2), (37, 500), (500, 37), (224, 224), (224, 300), (300, 224),
             (30, 2000), (2000, 30), (223, 225)]


@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize("resize,crop", [(224, None), (224, 248), ((40, 30), None), ((30, 40), 45)])
def test_odd_sizes(resize, crop, interpolation, tmp_path):
    images = [noise(*size) for size in ODD_SIZES]
    paths = [tmp_path / f"{width}x{height}.png" for width, height in ODD_SIZES]
    for path, image in zip(paths, images):
        image.save(path)
    answers = run_tool(["pixels", *arguments(resize, crop, interpolation)], paths)
    for size, image, ours in zip(ODD_SIZES, images, answers):
        assert_equal(ours, transform(resize, crop, interpolation)(image), f"from {size}")


def test_random_sizes_hold_the_order_of_passes(tmp_path):
    random = np.random.default_rng(5)
    lines, images, targets = [], [], []
    for target in range(16):
        new_width, new_height = (int(v) for v in random.integers(1, 90, 2))
        interpolation = ("bicubic", "bilinear")[target % 2]
        for case in range(10):
            width, height = (int(v) for v in random.integers(1, 90, 2))
            if case % 3 == 0:  # at the border between both orders
                height = max(1, new_height + 2 * (width - new_width) + int(random.integers(-1, 2)))
            images.append(noise(width, height, case))
            path = tmp_path / f"{target}.{case}.bmp"
            images[-1].save(path)
            targets.append(((new_width, new_height), None, interpolation))
            lines.append(" ".join(map(str, [*arguments(*targets[-1]), path])))
    for image, target, ours in zip(images, targets, run_tool(["each"], lines)):
        assert_equal(ours, transform(*target)(image), f"{image.size} -> {target}")


def color_images(folder):
    photo = noise(64, 48).resize((90, 70), Image.BICUBIC)
    alpha = photo.copy()
    alpha.putalpha(photo.convert("L"))
    palette = photo.quantize(40)
    cases = {
        "gray.jpg": (photo.convert("L"), {}),
        "cmyk.jpg": (photo.convert("CMYK"), {}),
        "444.jpg": (photo, {"subsampling": 0}),
        "422.jpg": (photo, {"subsampling": 1}),
        "420.jpg": (photo, {"subsampling": 2}),
        "progressive.jpg": (photo, {"progressive": True}),
        "restart.jpg": (photo, {"restart_marker_rows": 1}),
        "rgb.jpg": (photo, {"keep_rgb": True}),
        "palette.png": (palette, {}),
        "palette_alpha.png": (palette, {"transparency": 5}),
        "palette_4.png": (photo.quantize(12), {"bits": 4}),
        "gray_alpha.png": (alpha.convert("LA"), {}),
        "rgba.png": (alpha, {}),
        "rgb_key.png": (photo, {"transparency": (1, 2, 3)}),
        "gray.png": (photo.convert("L"), {}),
        "bits.png": (photo.convert("1"), {}),
        "rgb.bmp": (photo, {}),
        "palette.bmp": (palette, {}),
        "gray.bmp": (photo.convert("L"), {}),
        "rgb.tiff": (photo, {}),
        "lzw.tiff": (photo, {"compression": "tiff_lzw"}),
        "rgba.tiff": (alpha, {}),
        "gray.tiff": (photo.convert("L"), {}),
        "palette.tiff": (palette, {}),
        "lossy.webp": (photo, {"quality": 70}),
        "lossless.webp": (photo, {"lossless": True}),
        "rgba.webp": (alpha, {"lossless": True, "exact": True}),
        "rgb.ppm": (photo, {}),
        "gray.pgm": (photo.convert("L"), {}),
    }
    for name, (image, options) in cases.items():
        image.save(folder / name, **options)
    return [folder / name for name in cases]


def test_kinds_of_images(tmp_path):
    paths = color_images(tmp_path)
    wrong = []
    for path, ours in zip(paths, run_tool(["decode"], paths)):
        try:
            assert_equal(ours, Image.open(path).convert("RGB"), path.name)
        except AssertionError as error:
            wrong.append(str(error).splitlines()[0])
    assert not wrong, wrong


def test_16_bit_images_are_scaled(tmp_path):
    path = tmp_path / "gray16.png"
    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    Image.fromarray(values).save(path)
    (ours,) = run_tool(["decode"], [path])
    assert np.array_equal(ours, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2))


def pnm_files(folder):
    random = np.random.default_rng(9)
    paths = []
    for maxval in (1, 15, 100, 254, 255, 256, 1023, 65535):
        samples = random.integers(0, maxval + 1, 3 * 11 * 7)
        binary = samples.astype(np.uint8 if maxval < 256 else ">u2").tobytes()
        text = " ".join(map(str, samples)).encode()
        for kind, width, data in (("P5", 33, binary), ("P6", 11, binary), ("P2", 33, text),
                                  ("P3", 11, text)):
            paths.append(folder / f"{kind}_{maxval}.pnm")
            paths[-1].write_bytes(f"{kind}\n# a comment\n{width} 7\n{maxval}\n".encode() + data)
    paths.append(folder / "P4.pnm")
    paths[-1].write_bytes(b"P4 11 7\n" + random.bytes(14))
    return paths


def test_pnm_is_scaled_by_its_maxval(tmp_path):
    paths = pnm_files(tmp_path)
    for path, ours in zip(paths, run_tool(["decode"], paths)):
        image = Image.open(path)
        if image.mode == "I":  # which convert("RGB") would clip
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        assert_equal(ours, image.convert("RGB"), path.name)


def test_truncated_pnm_where_pil_says_so(tmp_path):
    paths = []
    for whole in pnm_files(tmp_path):
        for missing in (1, 2, 40):
            paths.append(tmp_path / f"{missing}_{whole.name}")
            paths[-1].write_bytes(whole.read_bytes()[:-missing])
    for path, ours in zip(paths, run_tool(["decode"], paths)):
        assert isinstance(ours, str) != pil_loads(path), path.name


def pil_loads(path):
    try:
        Image.open(path).load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


@pytest.mark.parametrize("name", ["color.jpg", "gray.jpg", "cmyk.jpg", "progressive.jpg", "rgb.png",
                                  "palette.png", "rgb.bmp", "rgb.tiff", "rgb.webp"])
def test_truncated_where_pil_says_so(name, tmp_path):
    whole = (REFERENCES / name).read_bytes()
    # Header cuts included; PIL reads the last bytes of some formats generously.
    paths = []
    for size in sorted({*range(0, len(whole), 37), *range(len(whole) - 30, len(whole) + 1)}):
        path = tmp_path / f"{size:05}_{name}"
        path.write_bytes(whole[:size])
        paths.append(path)
    wrong = []
    for path, ours in zip(paths, run_tool(["decode"], paths)):
        if isinstance(ours, str) == pil_loads(path):
            answer = ours if isinstance(ours, str) else "decoded"
            wrong.append(f"{path.name}: PIL loads: {pil_loads(path)}, here: {answer}")
    assert not wrong, wrong


def test_damaged_photos_where_pil_says_so(tmp_path):
    paths = []
    random = np.random.default_rng(3)
    for i, photo in enumerate(photos()[:40]):
        data = bytearray(photo.read_bytes())
        if i % 4 == 0:
            data = data[:len(data) * (i + 1) // 41]
        elif i % 4 == 1:
            data += b"rubbish" * 100
        elif i % 4 == 2:
            data = data[:-2]  # without the end marker
        else:
            at = int(random.integers(len(data) // 2, len(data) - 100))
            data[at:at + 20] = bytes(random.integers(0, 255, 20, dtype=np.uint8))
        path = tmp_path / f"{i:02}.jpg"
        path.write_bytes(data)
        paths.append(path)
    for path, ours in zip(paths, run_tool(["decode"], paths)):
        assert isinstance(ours, str) != pil_loads(path), path.name
        if not isinstance(ours, str):
            assert_equal(ours, Image.open(path).convert("RGB"), path.name)
