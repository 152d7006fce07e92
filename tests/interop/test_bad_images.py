"""Images that can't be used, and names that are hard to write down: the extraction goes on, lists
them in NAME.bad.csv with the reason, and ends with exit status 3. Nothing makes it wait for ever."""

import csv
import io
import json
import os
import struct
import subprocess
import zlib

import h5py
import pytest
from PIL import Image

from paths import tool

PATIENCE = 300  # seconds, for a machine under load; each run takes about one

GOOD_NAMES = [b"plain.png", b'quo"te.png', b"two words.png", b"new\nline.png", b"comma,.png",
              "\u00fcn\u00ef\u4f60.png".encode(), b"invalid\xff\xfe.png", b"-dash.png", b"100%s.png"]


def png_of(width, height, rows):
    """A PNG of one bit per pixel; all its pixels are black."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(((width + 7) // 8 + 1) * rows), 9)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)
            + chunk(b"IEND", b""))


def encoded(format, **options):
    picture = Image.linear_gradient("L").resize((40, 30)).convert("RGB")
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def with_many_scans(scans):
    """A progressive JPEG whose last scan, a refinement, is there `scans` times more."""
    jpeg = encoded("JPEG", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * scans + jpeg[-2:]


def tiff_of_two_sizes():
    """The first directory gives 40000x40000 pixels, which libtiff takes, and then 40x30."""
    tiff = encoded("TIFF")
    assert tiff[:4] == b"II*\0"
    start = struct.unpack_from("<I", tiff, 4)[0]
    count = struct.unpack_from("<H", tiff, start)[0]
    entries = tiff[start + 2:start + 2 + 12 * count]
    claims = b"".join(struct.pack("<HHII", tag, 4, 1, 40000) for tag in (256, 257))
    directory = struct.pack("<H", count + 2) + claims + entries + bytes(4)
    return tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:] + directory


# name: (what to make there, a part of the reason)
BAD = {
    b"cut.jpg": (lambda p: write(p, encoded("JPEG")[:400]), "truncated"),
    b"cut.png": (lambda p: write(p, encoded("PNG")[:-60]), "PNG"),
    b"cut.webp": (lambda p: write(p, encoded("WEBP", lossless=True)[:60]), "WebP"),
    b"cut.bmp": (lambda p: write(p, encoded("BMP")[:-400]), "truncated"),
    b"header_only.jpg": (lambda p: write(p, b"\xff\xd8\xff"), "JPEG"),
    b"zero_bytes.jpg": (lambda p: write(p, b""), "empty"),
    b"zeros.jpg": (lambda p: write(p, bytes(1000)), "known format"),
    b"text.jpg": (lambda p: write(p, b"This is a text.\n"), "known format"),
    b"bomb.png": (lambda p: write(p, png_of(20000, 20000, 20000)), "--max-pixels"),
    b"claim.png": (lambda p: write(p, png_of(2**31 - 1, 2**31 - 1, 1)), "--max-pixels"),
    b"claim.jpg": (lambda p: write(p, claiming_jpeg()), "--max-pixels"),
    b"two_sizes.tiff": (lambda p: write(p, tiff_of_two_sizes()), "gives no size"),
    b"scans.jpg": (lambda p: write(p, with_many_scans(2000)), "scans"),
    b"folder.jpg": (os.mkdir, "folder"),
    b"dangling.jpg": (lambda p: os.symlink(b"nowhere.jpg", p), "no such file"),
    b"circle.jpg": (lambda p: os.symlink(os.path.basename(p), p), "symbolic links"),
    b"pipe.jpg": (os.mkfifo, "not a regular file"),
    b"endless.jpg": (lambda p: os.symlink(b"/dev/zero", p), "not a regular file"),
    b"missing.jpg": (lambda p: None, "no such file"),
    b'a "bad"\nname,\xff.jpg': (lambda p: write(p, b"no image"), "known format"),
}


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def claiming_jpeg():
    """A whole JPEG whose header says that it is 65500 pixels wide and high."""
    jpeg = bytearray(encoded("JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5:frame + 9] = struct.pack(">HH", 65500, 65500)
    return bytes(jpeg)


def quoted(name):
    return b'"' + name.replace(b'"', b'""') + b'"'


def extract(tiny, images, cache, *options, status):
    arguments = [tool("extractor"), "run", "--weights", tiny["weights"], "--images", images,
                 "--resize", "32", "--batch-size", "4", "--cache", cache, *options]
    result = subprocess.run([str(a) for a in arguments], capture_output=True, timeout=PATIENCE,
                            check=False)
    assert result.returncode == status, result.stderr.decode(errors="replace")
    assert b"HDF5-DIAG" not in result.stderr
    return result.stderr.decode(errors="replace")


def bad_rows(path):
    """[(path, reason)] of NAME.bad.csv; the bytes of a name are those of the file."""
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as table:
        rows = list(csv.reader(table))
    assert rows[0] == ["path", "reason"]
    return [(os.fsencode(name), reason) for name, reason in rows[1:]]


@pytest.fixture
def mixed(tmp_path):
    """A list of good images and everything in BAD, in turns."""
    folder = os.fsencode(tmp_path)
    names = list(GOOD_NAMES)
    for name in GOOD_NAMES:
        write(os.path.join(folder, name), encoded("PNG"))
    for i, (name, (make, _)) in enumerate(BAD.items()):
        make(os.path.join(folder, name))
        names.insert(2 * i, name)
    path = tmp_path / "list.csv"
    path.write_bytes(b"path,label\r\n" + b"".join(
        quoted(name) + b"," + str(i % 3).encode() + b"\r\n" for i, name in enumerate(names)))
    return path, names


def test_everything_bad_is_listed_with_its_reason(tiny, tmp_path, mixed):
    images, names = mixed
    cache = tmp_path / "a.h5"
    messages = extract(tiny, images, cache, status=3)
    assert f"{len(BAD)} bad images" in messages
    found = bad_rows(tmp_path / "a.bad.csv")
    assert [name for name, _ in found] == [name for name in names if name in BAD]
    for name, reason in found:
        assert BAD[name][1] in reason, (name, reason)
    with h5py.File(cache) as store:
        assert [bytes(i) for i in store["sample_id"][:]] == names
        assert [state == 2 for state in store["row_state"][:]] == [name in BAD for name in names]
    for command in (["verify"], ["inspect", "--json"]):
        result = subprocess.run([tool("extractor"), *command, "--cache", cache], check=True,
                                capture_output=True, timeout=PATIENCE)
    assert json.loads(result.stdout)["bad_rows"] == len(BAD)
    # Again: the images are only compared, and still nothing waits for a pipe.
    extract(tiny, images, cache, "--allow-bad", len(BAD), status=0)


def test_good_images_are_the_same_without_bad_neighbours(tiny, tmp_path, mixed):
    images, names = mixed
    extract(tiny, images, tmp_path / "a.h5", status=3)
    alone = tmp_path / "good.csv"
    alone.write_bytes(b"path\r\n" + b"".join(quoted(name) + b"\r\n" for name in GOOD_NAMES))
    extract(tiny, alone, tmp_path / "b.h5", status=0)
    good = [i for i, name in enumerate(names) if name not in BAD]
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert abs(a["features"][:][good] - b["features"][:]).max() < 0.05  # other places in a batch
        assert not (tmp_path / "b.bad.csv").exists()


def test_a_folder_lists_what_looks_like_an_image(tiny, tmp_path):
    tree = tmp_path / "tree"
    for name in ("a", "b"):
        (tree / name).mkdir(parents=True)
        write(tree / name / "1.png", encoded("PNG"))
    os.mkfifo(tree / "a" / "pipe.jpg")
    os.symlink("nowhere", tree / "a" / "dangling.jpg")
    os.symlink("circle.jpg", tree / "a" / "circle.jpg")
    os.symlink("nowhere", tree / "a" / "dangling.txt")
    (tree / "b" / "folder.jpg").mkdir()
    write(tree / "b" / "bad.jpg", b"no image")
    extract(tiny, tree, tmp_path / "a.h5", status=3)
    bad = {b"a/circle.jpg": "symbolic links", b"a/dangling.jpg": "no such file",
           b"a/pipe.jpg": "not a regular file", b"b/bad.jpg": "known format"}
    found = bad_rows(tmp_path / "a.bad.csv")
    assert [name for name, _ in found] == list(bad)
    for name, reason in found:
        assert bad[name] in reason, (name, reason)
    with h5py.File(tmp_path / "a.h5") as store:
        assert [bytes(i) for i in store["sample_id"][:]] == sorted([b"a/1.png", b"b/1.png", *bad])


def test_a_folder_that_leads_back_to_itself_is_refused(tiny, tmp_path):
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    write(tree / "a" / "1.png", encoded("PNG"))
    for name in ("up", "again"):  # each path through them branches twice at every level
        os.symlink("..", tree / "a" / name)
    messages = extract(tiny, tree, tmp_path / "a.h5", status=1)
    assert "leads back" in messages and messages.count("error") == 1


def test_as_many_scans_as_encoders_write(tiny, tmp_path):
    write(tmp_path / "a.jpg", with_many_scans(20))
    (tmp_path / "list.txt").write_text("a.jpg\n")
    extract(tiny, tmp_path / "list.txt", tmp_path / "a.h5", status=0)
