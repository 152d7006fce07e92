"""Makes tests/extractor/images/references: small images of every kind, with the bytes that PIL makes of
them. Run once: .venv/bin/python tests/interop/make_images.py (Pillow 13)."""

import pathlib

import numpy as np
from PIL import Image
from torchvision import transforms

FOLDER = pathlib.Path(__file__).parents[1] / "extractor/images/references"
WIDTH, HEIGHT = 37, 23


def picture():
    """Waves with some noise: has every frequency, compresses badly."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    noise = np.random.default_rng(0).integers(0, 40, (HEIGHT, WIDTH, 3))
    waves = np.stack([x * 5 + y, 200 - y * 8 + x, 128 + 90 * np.sin(x * y / 20)], axis=-1)
    return Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))


def save(name, image, **options):
    image.save(FOLDER / name, **options)
    (FOLDER / (name + ".rgb")).write_bytes(Image.open(FOLDER / name).convert("RGB").tobytes())


def save_16_bit(name, channels):
    """PIL writes no 16-bit RGB, and reads 16-bit gray unscaled: write with zlib, scale by hand."""
    import struct
    import zlib

    values = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH, channels)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)

    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2 if channels == 3 else 0, 0, 0, 0)
    (FOLDER / name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
                                + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    high = (values >> 8).astype(np.uint8).repeat(3 // channels, axis=2)
    if channels == 3:
        assert Image.open(FOLDER / name).convert("RGB").tobytes() == high.tobytes()
    (FOLDER / (name + ".rgb")).write_bytes(high.tobytes())


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    image = picture()
    save("color.jpg", image, quality=80)
    save("gray.jpg", image.convert("L"))
    save("cmyk.jpg", image.convert("CMYK"))
    save("progressive.jpg", image, progressive=True)
    exif = Image.Exif()
    exif[0x112] = 6  # turned by 90 degrees
    save("rotated.jpg", image, exif=exif)
    save("rgb.png", image)
    save("palette.png", image.quantize(50), transparency=3)
    alpha = Image.fromarray((np.arange(WIDTH * HEIGHT) % 256).astype(np.uint8).reshape(HEIGHT, WIDTH))
    rgba = image.copy()
    rgba.putalpha(alpha)
    save("rgba.png", rgba)
    save("gray.png", image.convert("L"))
    save_16_bit("gray16.png", 1)
    save_16_bit("rgb16.png", 3)
    save("rgb.bmp", image)
    save("rgb.tiff", image, compression="tiff_lzw")
    save("rgb.webp", image, quality=90)

    def raw(name, result):
        (FOLDER / name).write_bytes(result.tobytes())

    raw("bicubic_16.raw", image.resize((16, 16), Image.BICUBIC))
    raw("bilinear_16.raw", image.resize((16, 16), Image.BILINEAR))
    for size in ((50, 20), (37, 10), (10, 23)):
        raw(f"bicubic_{size[0]}x{size[1]}.raw", image.resize(size, Image.BICUBIC))
    bicubic = transforms.InterpolationMode.BICUBIC
    raw("crop_18_16.raw", transforms.Compose([
        transforms.Resize(18, bicubic), transforms.CenterCrop(16)])(image))
    raw("crop_30_27x29.raw", transforms.Compose([
        transforms.Resize(30), transforms.CenterCrop((29, 27))])(image))


if __name__ == "__main__":
    main()
