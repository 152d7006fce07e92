"""Runs the extractor as a user does, and reads what it stores with h5py alone."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess

import h5py
import numpy as np
import pytest
import timm
from PIL import Image

from paths import shared, tool
from stopped_runs import start_slowly
from tiny_stores import make_tiny_vit, rows_stored

PHOTOS = "data/photos"
WEIGHTS = "weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"


def command(*arguments):
    return [str(tool("extractor")), *map(str, arguments)]


def run(*arguments, **options):
    return subprocess.run(command(*arguments), capture_output=True, text=True, **options)


def extract(images, cache, *more, status=0, **options):
    """`extractor run`; small pictures and few layers where the test doesn't care."""
    result = run("run", "--weights", shared(WEIGHTS), "--images", images, "--cache", cache, *more,
                 **options)
    assert result.returncode == status, result.stderr
    return result


FAST = ("--resize", 32, "--layers", "every:6", "--batch-size", 4)


@pytest.fixture(scope="session")
def photos():
    folder = shared(PHOTOS)
    lines = (folder / "photos.txt").read_text().splitlines()
    return [(folder / line.rsplit(" ", 1)[0], int(line.rsplit(" ", 1)[1])) for line in lines]


@pytest.fixture(scope="session")
def small_photos(tmp_path_factory, photos):
    """A folder with 22 small photos and a list of them."""
    folder = tmp_path_factory.mktemp("small") / "pictures"
    folder.mkdir()
    lines = []
    for i, (photo, label) in enumerate(photos[:22]):
        Image.open(photo).convert("RGB").resize((60, 50)).save(folder / f"{i:02}.png")
        lines.append(f"pictures/{i:02}.png {label}\n")
    (folder.parent / "list.txt").write_text("".join(lines))
    return folder.parent


@pytest.fixture
def pictures(tmp_path, small_photos):
    """The list of small photos in a copy that is safe to change."""
    shutil.copytree(small_photos, tmp_path, dirs_exist_ok=True)
    return tmp_path / "list.txt"


def only_one_line(result, *parts):
    lines = result.stderr.strip().splitlines()
    assert lines and lines[-1].startswith("extractor: error: "), result.stderr
    assert sum("error" in line for line in lines) == 1, result.stderr
    for part in parts:
        assert part in lines[-1], lines[-1]


# --- numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("crop", [None, 248])
def test_maps_equal_timm(tmp_path, photos, crop):
    import torch
    from safetensors.torch import load_file
    from torchvision import transforms

    some = photos[:6] + [p for p in photos if Image.open(p[0]).mode == "L"][:1]
    (tmp_path / "list.txt").write_text("".join(f"{p} {label}\n" for p, label in some))
    extract(tmp_path / "list.txt", tmp_path / "a.h5", "--store", "fp32",
            *(("--crop", f"center:{crop}") if crop else ()))

    model = timm.create_model("vit_tiny_patch16_224", pretrained=False)
    model.load_state_dict(load_file(shared(WEIGHTS)))
    model.eval()
    bicubic = transforms.InterpolationMode.BICUBIC
    resize = [transforms.Resize(crop, bicubic), transforms.CenterCrop(224)] if crop else [
        transforms.Resize((224, 224), bicubic)]
    prepare = transforms.Compose(resize + [transforms.ToTensor(),
                                           transforms.Normalize([0.5] * 3, [0.5] * 3)])
    images = torch.stack([prepare(Image.open(path).convert("RGB")) for path, _ in some])
    maps = []
    model.blocks[0].register_forward_pre_hook(lambda module, inputs: maps.append(inputs[0]))
    for block in model.blocks:
        block.register_forward_hook(lambda module, inputs, output: maps.append(output))
    with torch.no_grad():
        model(images)
    expected = torch.stack(maps, dim=1).numpy()

    with h5py.File(tmp_path / "a.h5") as store:
        found = store["features"][:]
        assert found.dtype == np.float32 and found.shape == expected.shape == (7, 13, 197, 192)
        assert list(store["labels/label"][:]) == [label for _, label in some]
        assert [id.decode() for id in store["sample_id"][:]] == [str(path) for path, _ in some]
        assert set(store["row_state"][:]) == {1}
        for (path, _), digest in zip(some, store["image_digest"][:]):
            assert bytes(digest) == hashlib.sha256(path.read_bytes()).digest()
    for layer in range(13):
        error = np.abs(found[:, layer] - expected[:, layer])
        assert error.max() < 1e-3 * expected[:, layer].std(), layer  # a few channels are huge
        assert error.mean() < 1e-5 * expected[:, layer].std(), layer


def test_fp16_store_is_the_rounded_fp32_one(tmp_path, pictures):
    extract(pictures, tmp_path / "a.h5", *FAST, "--store", "fp32")
    extract(pictures, tmp_path / "b.h5", *FAST)
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert b["features"].dtype == np.float16
        assert np.array_equal(a["features"][:].astype(np.float16), b["features"][:])


def test_mean_and_std_come_from_the_files_beside_the_weights(tmp_path, pictures):
    weights = tmp_path / "model/model.safetensors"
    weights.parent.mkdir()
    weights.symlink_to(shared(WEIGHTS))

    def features(cache, *more):
        result = run("run", "--weights", weights, "--images", pictures, "--cache", tmp_path / cache,
                     *FAST, *more)
        assert result.returncode == 0, result.stderr
        with h5py.File(tmp_path / cache) as store:
            return store["features"][:], result.stderr

    plain, messages = features("a.h5")
    assert "taking 0.5" in messages
    (weights.parent / "config.json").write_text(json.dumps({
        "architecture": "vit_tiny_patch16_224", "num_features": 192,
        "pretrained_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}}))
    beside, messages = features("b.h5")
    assert "taking 0.5" not in messages and not np.array_equal(plain, beside)
    option, _ = features("c.h5", "--mean", "0.4,0.5,0.6", "--std", "0.2,0.3,0.4")
    assert np.array_equal(beside, option)
    back, _ = features("d.h5", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5")
    assert np.array_equal(plain, back)


def test_views(tmp_path, pictures):
    views = ("--views", 3, "--augment", "rrc-flip", "--augment-seed", 7)
    extract(pictures, tmp_path / "a.h5", *FAST)
    extract(pictures, tmp_path / "b.h5", *FAST, *views, "--decode-threads", 3)
    extract(pictures, tmp_path / "c.h5", *FAST, *views, "--decode-threads", 1)
    assert (tmp_path / "b.h5").read_bytes() == (tmp_path / "c.h5").read_bytes()
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert list(b["view"][:]) == [0, 1, 2] * 22
        assert list(b["labels/label"][:]) == list(np.repeat(a["labels/label"][:], 3))
        plain, all_views = a["features"][:], b["features"][:]
        assert np.allclose(all_views[::3], plain, atol=0.05)
        assert not np.allclose(all_views[1::3], plain, atol=0.05)
        assert not np.allclose(all_views[1::3], all_views[2::3], atol=0.05)


def test_csv_and_folder(tmp_path, pictures):
    (tmp_path / "list.csv").write_text(
        "path,kind,\"two words\"\r\npictures/00.png,dog,1\r\npictures/01.png,cat,\r\n")
    extract(tmp_path / "list.csv", tmp_path / "a.h5", *FAST)
    with h5py.File(tmp_path / "a.h5") as store:
        assert list(store["labels/kind"][:]) == [1, 0]
        assert [name.decode() for name in store["classes/kind"][:]] == ["cat", "dog"]
        assert list(store["labels/two words"][:]) == [1, -1]
    for name in ("z/1.png", "a b/2.png", "a b/1.png"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "pictures/00.png", path)
    extract(tmp_path / "tree", tmp_path / "b.h5", *FAST)
    with h5py.File(tmp_path / "b.h5") as store:
        assert [id.decode() for id in store["sample_id"][:]] == ["a b/1.png", "a b/2.png", "z/1.png"]
        assert list(store["labels/label"][:]) == [0, 0, 1]


# --- resume, shards, repeated runs -----------------------------------------------------------


def test_killed_and_resumed_is_byte_identical(tmp_path, photos, faults):
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path, _ in photos[:60]))
    options = ("--resize", 112, "--batch-size", 4)
    extract(tmp_path / "list.txt", tmp_path / "whole.h5", *options)
    partial = tmp_path / "killed.h5.partial"
    process = start_slowly(
        command("run", "--weights", shared(WEIGHTS), "--images", tmp_path / "list.txt", "--cache",
                tmp_path / "killed.h5", *options), tmp_path / "killed.h5", faults, rows=10)
    process.kill()
    process.communicate()
    assert partial.exists() and not (tmp_path / "killed.h5").exists()
    assert 10 <= rows_stored(partial) < 60
    result = extract(tmp_path / "list.txt", tmp_path / "killed.h5", *options)
    assert "resuming" in result.stderr
    assert (tmp_path / "killed.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not partial.exists()


def test_shards_hold_the_rows_of_the_whole(tmp_path, pictures):
    extract(pictures, tmp_path / "whole.h5", *FAST)
    for shard in (2, 0, 1):
        extract(pictures, tmp_path / "s.h5", *FAST, "--shard", f"{shard}/3")
    names = [tmp_path / f"s.{shard:05}-of-00003.h5" for shard in range(3)]
    stores = [h5py.File(name) for name in names]
    with h5py.File(tmp_path / "whole.h5") as whole:
        for key in ("features", "sample_id", "labels/label", "row_crc32c", "image_digest"):
            parts = np.concatenate([store[key][:] for store in stores])
            assert np.array_equal(parts, whole[key][:]), key
    assert run("inspect", "--cache", tmp_path / "s.h5", "--json").returncode == 0
    assert "3 files" in run("verify", "--cache", tmp_path / "s.h5").stdout
    for store in stores:
        store.close()
    for name in (names[0], names[2]):
        damage(name, 100)
    result = run("verify", "--cache", tmp_path / "s.h5")
    assert result.returncode == 1
    assert [name.name for name in names if name.name in result.stderr] == [
        names[0].name, names[2].name]
    names[1].unlink()
    assert run("verify", "--cache", tmp_path / "s.h5").returncode == 1


def damage(path, offset):
    with path.open("r+b") as handle:
        handle.seek(offset)
        byte = handle.read(1)
        handle.seek(offset)
        handle.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("variables", [
    {"SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_MAX": "7",
     "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_STEP": "1"},
    {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3"},
    {"RANK": "1", "WORLD_SIZE": "3"}])
def test_shard_auto(tmp_path, pictures, variables):
    extract(pictures, tmp_path / "s.h5", *FAST, "--shard", "auto", env={**os.environ, **variables})
    assert (tmp_path / "s.00001-of-00003.h5").exists()


def test_shard_auto_needs_to_be_asked_for_and_refuses_steps(tmp_path, pictures):
    stepped = {**os.environ, "SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_MIN": "0",
               "SLURM_ARRAY_TASK_MAX": "6", "SLURM_ARRAY_TASK_COUNT": "4",
               "SLURM_ARRAY_TASK_STEP": "2"}
    only_one_line(extract(pictures, tmp_path / "s.h5", *FAST, "--shard", "auto", status=1,
                          env=stepped), "stepped")
    extract(pictures, tmp_path / "s.h5", *FAST, env=stepped)
    assert (tmp_path / "s.h5").exists()


def test_finished_command_again(tmp_path, pictures):
    cache = tmp_path / "a.h5"
    extract(pictures, cache, *FAST)
    before = cache.stat()
    extract(pictures, cache, *FAST)
    after = cache.stat()  # reading may change the time of access
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    only_one_line(extract(pictures, cache, *FAST, "--interpolation", "bilinear", status=1),
                  "interpolation", "bicubic", "bilinear")
    only_one_line(extract(pictures, cache, *FAST[:-1], 8, status=1), "batch_size")
    only_one_line(extract(pictures, cache, *FAST, "--max-pixels", 9, status=1), "max_pixels")
    (tmp_path / "pictures/05.png").rename(tmp_path / "away.png")
    only_one_line(extract(pictures, cache, *FAST, status=1), "pictures/05.png", "can't be read")
    (tmp_path / "away.png").rename(tmp_path / "pictures/05.png")
    picture = (tmp_path / "pictures/03.png").read_bytes()
    Image.new("RGB", (60, 50)).save(tmp_path / "pictures/03.png")
    only_one_line(extract(pictures, cache, *FAST, status=1), "stale", "pictures/03.png")
    (tmp_path / "pictures/03.png").write_bytes(picture)
    with pictures.open("a") as list_file:
        list_file.write("# a comment\n")
    only_one_line(extract(pictures, cache, *FAST, status=1), "image list SHA-256")


def test_image_changed_between_interrupt_and_resume(tmp_path, pictures, faults):
    interrupted(tmp_path, pictures, faults)
    Image.new("RGB", (60, 50)).save(tmp_path / "pictures/00.png")
    only_one_line(extract(pictures, tmp_path / "a.h5", *SLOW, status=1), "stale", "pictures/00.png")


SLOW = ("--batch-size", 1, "--resize", 112)


def interrupted(tmp_path, pictures, faults, sent=signal.SIGINT):
    """The exit status and messages of a run that is stopped after its first rows."""
    process = start_slowly(command("run", "--weights", shared(WEIGHTS), "--images", pictures, "--cache",
                                   tmp_path / "a.h5", *SLOW), tmp_path / "a.h5", faults, rows=2,
                           milliseconds=12)
    process.send_signal(sent)
    _, messages = process.communicate(timeout=60)
    return process.returncode, messages


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupt(tmp_path, pictures, faults, sent):
    status, messages = interrupted(tmp_path, pictures, faults, sent)
    assert status == 4, messages
    assert "run the same command again" in messages
    assert not (tmp_path / "a.h5").exists()
    extract(pictures, tmp_path / "a.h5", *SLOW)
    extract(pictures, tmp_path / "b.h5", *SLOW)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_time_limit(tmp_path, pictures):
    result = extract(pictures, tmp_path / "a.h5", *SLOW, "--time-limit", "0.01s", status=4)
    assert "time limit" in result.stderr
    result = extract(pictures, tmp_path / "a.h5", *SLOW, "--time-limit", "0.01s", "--quiet",
                     status=4)
    assert result.stderr.startswith("extractor: the time limit is over")
    assert not (tmp_path / "a.h5").exists()


def test_two_runs_at_once(tmp_path, pictures):
    import fcntl
    lock = (tmp_path / "a.h5.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    only_one_line(extract(pictures, tmp_path / "a.h5", *FAST, status=1), "a.h5.lock")


# --- bad images --------------------------------------------------------------------------------


def test_bad_images_cost_their_rows_only(tmp_path, pictures):
    extract(pictures, tmp_path / "good.h5", *FAST)
    folder = tmp_path / "pictures"
    (folder / "02.png").unlink()
    (folder / "05.png").write_text("no image")
    (folder / "06.png").write_bytes((folder / "06.png").read_bytes()[:900])
    (folder / "07.png").write_bytes(b"")
    cache = tmp_path / "a.h5"
    result = extract(pictures, cache, *FAST, "--allow-bad", 3, status=3)
    assert "4 bad images" in result.stderr
    with (tmp_path / "a.bad.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["path"] for row in rows] == [f"pictures/{i:02}.png" for i in (2, 5, 6, 7)]
    for row, reason in zip(rows, ("no such file", "known format", "truncated", "empty")):
        assert reason in row["reason"]
    with h5py.File(cache) as store, h5py.File(tmp_path / "good.h5") as good:
        bad = np.isin(np.arange(22), (2, 5, 6, 7))
        assert np.array_equal(store["row_state"][:] == 2, bad)
        assert not store["features"][:][bad].any()
        assert np.array_equal(store["features"][:][~bad], good["features"][:][~bad])
    # As often as it is run.
    extract(pictures, cache, *FAST, "--allow-bad", 3, status=3)
    extract(pictures, cache, *FAST, "--allow-bad", 4, status=0)
    (tmp_path / "a.bad.csv").unlink()
    extract(pictures, cache, *FAST, status=3)
    with (tmp_path / "a.bad.csv").open(newline="") as table:
        again = list(csv.DictReader(table))
    assert [row["path"] for row in again] == [row["path"] for row in rows]
    assert {row["reason"] for row in again} == {"bad when extracted"}
    assert json.loads(run("inspect", "--cache", cache, "--json").stdout)["bad_rows"] == 4


def test_not_one_readable_image(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg 0\nb.jpg 1\n")
    result = extract(tmp_path / "list.txt", tmp_path / "a.h5", *FAST, status=1)
    only_one_line(result, "not one of 2 images", "a.jpg: no such file")
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize("line", ["pictures/00.png\t0\n", "two words.png\t0\n"])
def test_a_list_with_tabs(tmp_path, pictures, line):
    pictures.write_text(line)
    only_one_line(extract(pictures, tmp_path / "a.h5", *FAST, status=1),
                  "a space separates path and label")


def test_max_pixels(tmp_path, pictures):
    Image.new("RGB", (61, 50)).save(tmp_path / "pictures/04.png")
    extract(pictures, tmp_path / "a.h5", *FAST, "--max-pixels", 3000, status=3)
    assert "61x50 pixels" in (tmp_path / "a.bad.csv").read_text()


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("more,status,parts", [
    (("--layers", "every:5"), 2, ("--layers every:5", "12")),
    (("--layers", "0,13"), 2, ("--layers 0,13",)),
    (("--layers", "3,3"), 2, ("twice",)),
    (("--layers", "some"), 2, ("--layers",)),
    (("--store", "int8"), 2, ("--store int8",)),
    (("--precision", "fp8"), 2, ("--precision fp8",)),
    (("--resize", "0"), 2, ("--resize 0",)),
    (("--resize", "30"), 2, ("30x30", "16x16")),
    (("--crop", "center:20"), 2, ("--crop center:20", "--resize")),
    (("--interpolation", "cubic"), 2, ("--interpolation cubic",)),
    (("--mean", "1,2"), 2, ("--mean 1,2",)),
    (("--std", "1,0,1"), 2, ("--std 1,0,1",)),
    (("--mean", "128,128,128"), 2, ("--mean 128,128,128", "0..1")),
    (("--std", "57,57,57"), 2, ("--std 57,57,57", "0..1")),
    (("--batch-size", "0"), 2, ("--batch-size 0",)),
    (("--views", "2"), 2, ("--views 2", "--augment")),
    (("--augment", "mixup"), 2, ("--augment mixup",)),
    (("--shard", "3/3"), 2, ("--shard",)),
    (("--shard", "0/999"), 2, ("--shard", "batches")),
    (("--device", "tpu"), 2, ("--device", "tpu")),
    (("--time-limit", "soon"), 2, ("--time-limit",)),
    (("--allow-bad", "-1"), 2, ("--allow-bad",)),
    (("--batchsize", "3"), 2, ("--batch-size",)),
    (("--weights", "absent.safetensors"), 1, ("absent.safetensors",)),
    (("--images", "absent.txt"), 1, ("absent.txt",)),
    (("--cache", "name.hdf5"), 2, ("--cache name.hdf5",)),
    (("--cache", ".h5"), 2, ("--cache .h5",)),
    (("--augment-seed", "-1"), 2, ("--augment-seed -1",)),
    (("--time-limit", "200000d"), 2, ("--time-limit", "10 years")),
    (("--config", "/"), 1, ("configuration", "/")),
])
def test_bad_options(tmp_path, pictures, more, status, parts):
    given = {"--weights": str(shared(WEIGHTS)), "--images": str(pictures),
             "--cache": str(tmp_path / "a.h5"), "--resize": "32", more[0]: more[1]}
    result = run("run", *[word for pair in given.items() for word in pair])
    assert result.returncode == status, result.stderr
    only_one_line(result, *parts)
    assert not list(tmp_path.glob("a.*"))


def test_closed_descriptors_keep_messages_out_of_the_store(tmp_path, pictures):
    extract(pictures, tmp_path / "a.h5", *FAST)
    command = [tool("extractor"), "run", "--weights", shared(WEIGHTS), "--images", pictures,
               "--cache", tmp_path / "b.h5", *FAST]
    script = '"$@" <&- >&- 2>&-'
    result = subprocess.run(["bash", "-c", script, "bash", *[str(word) for word in command]],
                            check=False)
    assert result.returncode == 0
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert not [path for path in tmp_path.glob("*.lock") if path.stat().st_size > 0]


def test_a_dry_run_refuses_what_the_run_would(tmp_path, pictures):
    extract(pictures, tmp_path / "a.h5", *FAST)
    command = ("run", "--weights", shared(WEIGHTS), "--images", pictures, "--cache",
               tmp_path / "a.h5", *FAST)
    assert run(*command, "--dry-run").returncode == 0
    result = run(*command, "--mean", "0.1,0.2,0.3", "--dry-run")
    assert result.returncode == 1
    only_one_line(result, "a.h5", "was made differently")


@pytest.mark.parametrize("missing", ["--weights", "--images", "--cache"])
def test_missing_options(tmp_path, pictures, missing):
    given = {"--weights": shared(WEIGHTS), "--images": pictures, "--cache": tmp_path / "a.h5"}
    del given[missing]
    result = run("run", *[word for pair in given.items() for word in pair])
    assert result.returncode == 2
    only_one_line(result, missing)


@pytest.mark.parametrize("text,parts", [
    ("a.png 1\nb.png -1\n", ("list.txt:2", "negative")),
    ("a.png 0.5\n", ("list.txt:1", "fractions")),
    ("a.png 1\na.png 1\n", ("list.txt:2", "twice", "line 1")),
    ("# nothing\n", ("no images",)),
])
def test_bad_lists(tmp_path, text, parts):
    (tmp_path / "list.txt").write_text(text)
    only_one_line(extract(tmp_path / "list.txt", tmp_path / "a.h5", status=1), *parts)


# --- the other commands ------------------------------------------------------------------------


def test_dry_run_writes_nothing(tmp_path, pictures):
    cache = tmp_path / "deep/folder/a.h5"
    result = extract(pictures, cache, *FAST, "--dry-run")
    for part in ("rows            22", "3 of 5 tokens x 192", "disk free", "estimated time"):
        assert part in result.stdout
    assert not (tmp_path / "deep").exists()


def test_inspect_and_verify(tmp_path, pictures):
    cache = tmp_path / "a.h5"
    extract(pictures, cache, *FAST)
    store = json.loads(run("inspect", "--cache", cache, "--json").stdout)
    assert store["rows"] == 22 and store["shape"] == [22, 3, 5, 192] and store["dtype"] == "fp16"
    assert store["backbone"]["layers"] == [0, 6, 12]
    assert store["config"]["features"]["preprocessing"]["resize"] == [32, 32]
    assert sum(store["labels"][0]["rows_of_class"]) == 22
    assert store["image_list_sha256"] == hashlib.sha256(pictures.read_bytes()).hexdigest()
    features = store["config"]["features"]
    assert features["weights_sha256"] == hashlib.sha256(shared(WEIGHTS).read_bytes()).hexdigest()
    assert run("inspect", "--cache", cache).returncode == 0
    with open("/dev/full", "w") as full:
        lost = subprocess.run(command("inspect", "--cache", cache), stdout=full, text=True,
                              stderr=subprocess.PIPE)
    assert lost.returncode == 1
    only_one_line(lost, "can't write to standard output")

    assert run("verify", "--cache", cache).returncode == 0
    with h5py.File(cache) as handle:
        offset = handle["features"].id.get_offset()
    damage(cache, offset + 1000)
    damaged = run("verify", "--cache", cache)
    assert damaged.returncode == 1 and "row 0" in damaged.stderr
    for name in ("inspect", "verify"):
        assert run(name, "--cache", tmp_path / "absent.h5").returncode == 1
        assert run(name).returncode == 2


def test_inspect_of_many_classes(tmp_path, pictures):
    pictures.write_text("pictures/00.png 9999\n")
    extract(pictures, tmp_path / "a.h5", *FAST)
    labels, = json.loads(run("inspect", "--cache", tmp_path / "a.h5", "--json").stdout)["labels"]
    assert labels["classes"] == 10000 and labels["rows_of_class"] == [0] * 9999 + [1]
    pictures.write_text("pictures/00.png 10000000\n")
    extract(pictures, tmp_path / "b.h5", *FAST)
    labels, = json.loads(run("inspect", "--cache", tmp_path / "b.h5", "--json").stdout)["labels"]
    assert labels["classes"] == 10000001 and "rows_of_class" not in labels


def test_model():
    report = json.loads(run("model", "--weights", shared(WEIGHTS), "--json").stdout)
    assert report["family"] == "timm names" and report["config"]["depth"] == 12
    assert "timm" in run("model", "--weights", shared(WEIGHTS)).stdout
    assert run("model", "--weights", "absent").returncode == 1


def test_a_name_that_is_not_the_models_decides_nothing():
    for name, said in (("vit_tinny", "did you mean vit_tiny?"),
                       ("vit_small_patch16_224", "has 384 channels and 12 blocks"),
                       ("vit_tiny_patch16_clip_quikgelu_224", "did you mean quickgelu?")):
        result = run("model", "--weights", shared(WEIGHTS), "--model", name)
        assert result.returncode == 2 and said in result.stderr, result.stderr
    for name in ("vit_tiny_patch16_224.augreg_in21k", "deit_tiny_patch16_224", "timm"):
        assert run("model", "--weights", shared(WEIGHTS), "--model", name).returncode == 0


def test_another_size_than_the_models_is_a_warning(tmp_path, pictures):
    weights = make_tiny_vit(tmp_path / "tiny")
    for options, warned in (((), True), (("--resize", 224), False), (("--resize", 32), False)):
        result = run("run", "--weights", weights, "--images", pictures, "--cache", tmp_path / "a.h5",
                     "--dry-run", "--quiet", *options)
        assert result.returncode == 0, result.stderr
        assert ("warning: the model's own size is 32x32, images are resized to 224x224: --resize 32 "
                "keeps its own" in result.stderr) == warned, result.stderr


def test_a_store_is_no_checkpoint(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as store:
        store["features"] = [1]
    result = run("model", "--weights", tmp_path / "a.h5")
    assert result.returncode == 1 and "is a feature store (HDF5), not a checkpoint" in result.stderr


def test_config_file_and_quiet(tmp_path, pictures):
    (tmp_path / "run.ini").write_text(f"weights={shared(WEIGHTS)}\nimages={pictures}\nresize=64\n"
                                      f"cache={tmp_path}/a.h5\nlayers=0,12\n")
    result = run("run", "--config", tmp_path / "run.ini", "--resize", 32, "--quiet")
    assert result.returncode == 0 and result.stderr == ""
    with h5py.File(tmp_path / "a.h5") as store:
        assert store["features"].shape == (22, 2, 5, 192)
