"""What happens to both programs when a store is repacked, damaged, stale, cut in shards, or in use."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open

import file_faults
from checked_file import crc32c
from file_faults import ALWAYS
from paths import missing, tool
from stopped_runs import slow_disk, start_and_stop, start_slowly
from tiny_stores import draw_images, extract, extract_command, make_tiny_vit, rows_stored

TRAIN = ("--target", "corner", "--epochs", "3", "--warmup-epochs", "1", "--batch-size", "16",
         "--rank", "4")


def call(*arguments, **options):
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=False,
                          **options)


def train(tiny, run, *more, status=0, **options):
    result = call(tool("trainer"), "run", "--run", run, "--train", tiny["train"], "--val",
                  tiny["val"], *TRAIN, *more, **options)
    assert result.returncode == status, result.stderr
    return result


def only_error(result, *parts):
    lines = [line for line in result.stderr.splitlines() if ": error: " in line]
    assert len(lines) == 1, result.stderr
    for part in parts:
        assert str(part) in lines[0], lines[0]
    return lines[0]


def network(run, index=0):
    with safe_open(run / "networks" / f"{index}.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def assert_same_network(a, b):
    first, second = network(a), network(b)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.fixture(scope="module")
def usual(tiny, tmp_path_factory):
    """A run on undamaged stores, streamed."""
    run = tmp_path_factory.mktemp("usual") / "run"
    train(tiny, run, "--memory", "1")
    return run


# --- repacked by another program ---------------------------------------------------------------


def copy_with_h5py(source, destination):
    """A copy as a colleague would make it: compressed in chunks of two rows."""
    with h5py.File(source) as old, h5py.File(destination, "w") as new:
        for key, value in old.attrs.items():
            new.attrs[key] = value
        for name in old:
            if name != "features":
                old.copy(name, new)
        features = old["features"]
        new.create_dataset("features", data=features[...], chunks=(2, *features.shape[1:]),
                           compression="gzip", shuffle=True)


def h5repack(source, destination):
    if not shutil.which("h5repack"):
        missing("h5repack is missing (package hdf5-tools)")
    subprocess.run(["h5repack", "-f", "/features:GZIP=1", source, destination], check=True)


@pytest.mark.parametrize("repack", [copy_with_h5py, h5repack])
@pytest.mark.parametrize("memory", ["1", "1G"])
def test_a_repacked_store_trains_the_same_with_one_warning(tiny, usual, tmp_path, repack, memory):
    repack(tiny["train"], tmp_path / "train.h5")
    result = train({**tiny, "train": tmp_path / "train.h5"}, tmp_path / "run", "--memory", memory)
    warnings = [line for line in result.stderr.splitlines()
                if "warning" in line and "--memory" not in line]
    assert len(warnings) == 1 and "was repacked by another program" in warnings[0], result.stderr
    assert_same_network(usual, tmp_path / "run")
    verified = call(tool("extractor"), "verify", "--cache", tmp_path / "train.h5")
    assert verified.returncode == 0, verified.stderr


# --- damage ------------------------------------------------------------------------------------


def flip(path, offset):
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 16]))


@pytest.mark.parametrize("memory", ["1", "1G"])
def test_a_damaged_row_stops_training_which_goes_on_with_a_sound_copy(tiny, usual, tmp_path, memory):
    sound = tmp_path / "sound.h5"
    damaged = shutil.copy(tiny["train"], tmp_path / "train.h5")
    with h5py.File(damaged) as store:
        offset, row_bytes = store["features"].id.get_offset(), store["features"][0].nbytes
        crc = int(store["row_crc32c"][17])
        name = store["sample_id"][17].decode()
    shutil.copy(damaged, sound)
    flip(damaged, offset + 17 * row_bytes + 5)
    stores = {**tiny, "train": damaged}
    result = train(stores, tmp_path / "run", "--memory", memory, status=1)
    only_error(result, damaged, "row 17", name, f"CRC-32C 0x{crc:08x} expected", "found", "restore it")
    assert not (tmp_path / "run/networks.csv").exists()
    shutil.move(sound, damaged)
    train(stores, tmp_path / "run", "--memory", memory)
    assert_same_network(usual, tmp_path / "run")


# --- shards ------------------------------------------------------------------------------------


@pytest.fixture
def sharded(tiny, tmp_path):
    """The training store in 3 shards, and the list it is made of."""
    images = draw_images(tmp_path, "train", 96, 0)
    for shard in range(3):
        extract(tiny["weights"], images, tmp_path / "s.h5", "--shard", f"{shard}/3", "--batch-size",
                "8")
    return images


def test_shards_train_the_networks_of_the_whole_store(tiny, usual, sharded, tmp_path):
    extract(tiny["weights"], sharded, tmp_path / "whole.h5", "--batch-size", "8")
    train({**tiny, "train": tmp_path / "whole.h5"}, tmp_path / "a")
    train({**tiny, "train": tmp_path / "s.h5"}, tmp_path / "b", "--memory", "1")
    assert_same_network(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a/metrics.jsonl").read_text().count("\n") == 3
    result = call(tool("extractor"), "verify", "--cache", tmp_path / "s.h5")
    assert result.returncode == 0 and "96 rows" in result.stdout, result


def test_a_missing_shard_is_named(tiny, sharded, tmp_path):
    (tmp_path / "s.00001-of-00003.h5").unlink()
    stores = {**tiny, "train": tmp_path / "s.h5"}
    for result in (train(stores, tmp_path / "run", status=1),
                   call(tool("extractor"), "verify", "--cache", tmp_path / "s.h5")):
        assert result.returncode == 1
        only_error(result, "shard 1 of 3 is missing", "s.00001-of-00003.h5", "--shard 1/3")


@pytest.mark.parametrize("foreign", ["weights", "images", "renamed"])
def test_a_foreign_shard_is_named(tiny, sharded, tmp_path, foreign):
    second = tmp_path / "s.00001-of-00003.h5"
    second.unlink()
    weights, images = tiny["weights"], sharded
    if foreign == "weights":
        weights, part = make_tiny_vit(tmp_path / "vit", seed=5), "weights"
    elif foreign == "images":
        images, part = draw_images(tmp_path / "other", "train", 96, 1), "image lists"
    else:
        shutil.copy(tmp_path / "s.00002-of-00003.h5", second)
        part = "was it renamed?"
    if foreign != "renamed":
        extract(weights, images, tmp_path / "s.h5", "--shard", "1/3", "--batch-size", "8")
    result = train({**tiny, "train": tmp_path / "s.h5"}, tmp_path / "run", status=1)
    only_error(result, second, part)
    result = call(tool("extractor"), "verify", "--cache", tmp_path / "s.h5")
    assert result.returncode == 1 and second.name in result.stderr and part in result.stderr


def test_shards_of_other_batches_are_named(tiny, sharded, tmp_path):
    second = tmp_path / "s.00001-of-00003.h5"
    second.unlink()
    extract(tiny["weights"], sharded, tmp_path / "s.h5", "--shard", "1/3", "--batch-size", "5")
    part = "batch_size: 8 in the first shard, 5 in this one"
    only_error(train({**tiny, "train": tmp_path / "s.h5"}, tmp_path / "run", status=1), second, part)
    result = call(tool("extractor"), "verify", "--cache", tmp_path / "s.h5")
    assert result.returncode == 1
    only_error(result, second, part)


def test_shards_of_views_with_an_incomplete_batch_are_the_whole_and_are_checked_again(tiny, tmp_path):
    images = draw_images(tmp_path, "few", 7, 0)  # 21 rows, 6 batches of 4, the last of 1
    options = ("--views", "3", "--augment", "flip", "--batch-size", "4")
    extract(tiny["weights"], images, tmp_path / "whole.h5", *options)
    for _ in range(2):  # the second time they are there
        for shard in range(4):
            extract(tiny["weights"], images, tmp_path / "s.h5", *options, "--shard", f"{shard}/4")
    paths = [tmp_path / f"s.0000{shard}-of-00004.h5" for shard in range(4)]
    parts = [h5py.File(path) for path in paths]
    with h5py.File(tmp_path / "whole.h5") as whole:
        for name in ("features", "view", "row_state", "row_crc32c", "image_digest", "row_check"):
            assert np.array_equal(np.concatenate([part[name][...] for part in parts]), whole[name])
        assert [part.attrs["first_row"] for part in parts] == [0, 4, 12, 16]
        assert {part.attrs["total_rows"] for part in parts} == {21} == {whole.attrs["total_rows"]}
    for part in parts:
        part.close()
    result = call(tool("extractor"), "verify", "--cache", tmp_path / "s.h5")
    assert result.returncode == 0 and "21 rows" in result.stdout, result
    paths[2].unlink()
    extract(tiny["weights"], images, tmp_path / "s.h5", "--views", "2", "--augment", "flip",
            "--batch-size", "4", "--shard", "2/4")
    result = call(tool("extractor"), "verify", "--cache", tmp_path / "s.h5")
    only_error(result, paths[2], "views.count: 3 in the first shard, 2 in this one")


# --- stale stores ------------------------------------------------------------------------------


def extractor_run(tiny, images, cache, *more, **options):
    given = {"--weights": tiny["weights"], "--images": images, "--cache": cache, "--resize": "32",
             "--batch-size": "4", **dict(zip(more[::2], more[1::2]))}
    return call(tool("extractor"), "run", *[word for pair in given.items() for word in pair],
                **options)


def stop_midway(tiny, images, cache, faults):
    """Leaves CACHE.partial with some rows of many."""
    process = start_and_stop(extract_command(tiny, images, cache), cache, faults)
    process.kill()
    process.communicate()
    assert not cache.exists()


@pytest.fixture(scope="module")
def stale(tiny, tmp_path_factory, faults):
    """A list of many images, a finished store of it and an unfinished one."""
    folder = tmp_path_factory.mktemp("stale")
    images = draw_images(folder, "many", 120, 3)
    result = extractor_run(tiny, images, folder / "finished.h5")
    assert result.returncode == 0, result.stderr
    stop_midway(tiny, images, folder / "stopped.h5", faults)
    return images


def other_weights(tiny, images, folder):
    return ("--weights", make_tiny_vit(folder / "vit", seed=5))


def longer_list(tiny, images, folder):
    path = images.parent / f"longer_{folder.name}.csv"
    shutil.copy(images.parent / "many/000.png", images.parent / "many/more.png")
    path.write_text(images.read_text() + "many/more.png,1,red\n")
    return ("--images", path)


def other_label(tiny, images, folder):
    path = images.parent / f"relabelled_{folder.name}.csv"
    lines = images.read_text().splitlines()
    fields = lines[7].split(",")
    lines[7] = ",".join([fields[0], str((int(fields[1]) + 1) % 4), fields[2]])
    path.write_text("\n".join(lines) + "\n")
    return ("--images", path)


@pytest.mark.parametrize("name", ["finished", "stopped"])
@pytest.mark.parametrize("change,parts", [
    (other_weights, ("weights_sha256: ",)),
    (longer_list, ("rows: 120 in the store, 121 now",)),
    (other_label, ("label of column \"corner\", row 6: ",)),
    (("--mean", "0.4,0.5,0.6"), ("mean: [0.5,0.5,0.5] in the store, [0.4",)),
    (("--crop", "center:40"), ("crop: ",)),
    (("--resize", "40"), ("[32,32] in the store, [40,40] now",)),
    (("--interpolation", "bilinear"), ("interpolation: \"bicubic\" in the store, \"bilinear\" now",)),
    (("--layers", "every:2"), ("layers: [0,1,2,3,4] in the store, [0,2,4] now",)),
    (("--precision", "bf16"), ("precision: \"fp32\" in the store, \"bf16\" now",)),
    (("--store", "bf16"), ("\"fp16\" in the store, \"bf16\" now",)),
    (("--views", "2", "--augment", "flip"), ("augment",)),
    (("--batch-size", "8"), ("batch_size: 4 in the store, 8 now",)),
], ids=lambda value: value[0].lstrip("-") if isinstance(value, tuple) else
    getattr(value, "__name__", ""))
def test_a_stale_store_is_refused_with_the_first_difference(tiny, stale, tmp_path, name, change,
                                                           parts):
    if callable(change):
        change = change(tiny, stale, tmp_path)
    folder = stale.parent
    before = {path: path.read_bytes() for path in folder.glob(name + ".*")}
    result = extractor_run(tiny, stale, folder / f"{name}.h5", *change)
    assert result.returncode == 1, result.stderr
    only_error(result, f"{name}.h5", *parts)
    assert {path: path.read_bytes() for path in folder.glob(name + ".*")} == before


@pytest.mark.parametrize("name", ["finished", "stopped"])
def test_an_image_that_changed_is_refused(tiny, stale, tmp_path, name):
    image = stale.parent / "many/002.png"
    saved = image.read_bytes()
    shutil.copy(stale.parent / "many/003.png", image)
    try:
        result = extractor_run(tiny, stale, stale.parent / f"{name}.h5")
    finally:
        image.write_bytes(saved)
    assert result.returncode == 1, result.stderr
    only_error(result, "stale", "many/002.png")


# --- others at work, limits ----------------------------------------------------------------------


def test_a_store_in_the_making_is_not_read(tiny, stale, tmp_path):
    stopped = stale.parent / "stopped.h5"
    result = train({**tiny, "train": stopped}, tmp_path / "run", status=1)
    only_error(result, stopped, "is unfinished", "it resumes")


def test_a_second_extractor_and_a_reader_beside_the_first(tiny, tmp_path, faults):
    images = draw_images(tmp_path, "many", 120, 4)
    cache = tmp_path / "a.h5"
    # Stopped, so that it is still there, however slow the others are.
    first = start_and_stop(extract_command(tiny, images, cache, "--quiet"), cache, faults)
    only_error(extractor_run(tiny, images, cache), "a.h5.lock", "another process is writing there")
    only_error(train({**tiny, "train": cache}, tmp_path / "run", status=1), "is unfinished")
    with h5py.File(tmp_path / "a.h5.partial", "r", locking=False) as store:
        assert store["features"].shape[0] == 120
    first.send_signal(signal.SIGCONT)
    _, messages = first.communicate(timeout=300)
    assert first.returncode == 0, messages
    extract(tiny["weights"], images, tmp_path / "b.h5", "--batch-size", "4")
    assert cache.read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_cache_folder_that_is_removed_stops_the_extractor(tiny, stale, tmp_path, faults):
    folder = tmp_path / "cache"
    folder.mkdir()
    cache = folder / "a.h5"
    process = start_and_stop(extract_command(tiny, stale, cache, "--quiet"), cache, faults)
    shutil.rmtree(folder)
    process.send_signal(signal.SIGCONT)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 1, messages
    assert messages.count("\n") == 1 and f'"{cache}.partial" is gone' in messages, messages
    assert not folder.exists()
    assert extractor_run(tiny, stale, cache).returncode == 0
    assert cache.read_bytes() == (stale.parent / "finished.h5").read_bytes()


# A row takes five writes: features, digest, CRC, check, state. With 120 rows, the last three are
# those of statistics and footer. Of a new file HDF5's part is written under another name.
@pytest.mark.parametrize("fault,named", [
    (("pwrite", errno.ENOSPC, 0, ALWAYS, ".partial.tmp"), "a.h5.partial.tmp"),
    (("pwrite", errno.EIO, 3, ALWAYS, ".partial.tmp"), "a.h5.partial.tmp"),
    (("fallocate", errno.EIO, 0, 1, ".partial.tmp"), "a.h5.partial.tmp"),
    (("fdatasync", errno.EIO, 0, 1, ".partial.tmp"), "a.h5.partial.tmp"),
    (("rename", errno.EIO, 0, 1, ".partial.tmp"), "a.h5.partial.tmp"),
    (("pwrite", errno.ENOSPC, 0, ALWAYS, ".partial"), "a.h5.partial"),
    (("pwrite", errno.ENOSPC, 301, ALWAYS, ".partial"), "a.h5.partial"),
    (("pwrite", errno.EDQUOT, 302, 1, ".partial"), "a.h5.partial"),
    (("pwrite", errno.EIO, 599, 1, ".partial"), "a.h5.partial"),
    (("pwrite", errno.EIO, 600, 1, ".partial"), "a.h5.partial"),
    (("pwrite", errno.ENOSPC, 602, 1, ".partial"), "a.h5.partial"),
    (("fdatasync", errno.ENOSPC, 0, 1, ".partial"), "a.h5.partial"),
    (("fdatasync", errno.EIO, 1, 1, ".partial"), "a.h5.partial"),
    (("rename", errno.EACCES, 0, 1, ".partial"), "a.h5.partial"),
    (("open", errno.EMFILE, 0, 1, ".partial"), "a.h5.partial"),
    (("fsync", errno.EIO, 0, 1, "cache"), "cache"),
], ids=lambda value: "-".join(map(str, value[:3])) + value[4] if isinstance(value, tuple) else "")
def test_a_disk_that_fails_midway_is_named_and_the_command_goes_on(tiny, stale, tmp_path, faults, fault,
                                                                named):
    folder = tmp_path / "cache"
    folder.mkdir()
    cache = folder / "a.h5"
    result = extractor_run(tiny, stale, cache, env=file_faults.environment(faults, fault))
    assert result.returncode == 1, result.stderr
    only_error(result, named, os.strerror(fault[1]))
    assert result.stderr.count("\n" + "extractor: error: ") <= 1
    assert not cache.exists() and not (folder / "a.h5.partial.tmp").exists()
    result = extractor_run(tiny, stale, cache)
    assert result.returncode == 0, result.stderr
    assert cache.read_bytes() == (stale.parent / "finished.h5").read_bytes()


def test_a_disk_that_reserves_nothing_may_be_full_midway(tiny, stale, tmp_path, faults):
    cache = tmp_path / "a.h5"
    unable = [("fallocate", errno.EOPNOTSUPP, 0, ALWAYS, name) for name in (".partial", ".tmp")]
    full = ("pwrite", errno.ENOSPC, 333, ALWAYS, ".partial")
    result = extractor_run(tiny, stale, cache, env=file_faults.environment(faults, *unable, full))
    assert result.returncode == 1, result.stderr
    only_error(result, "a.h5.partial", "No space left on device")
    assert not cache.exists() and 40 < rows_stored(tmp_path / "a.h5.partial") < 80
    result = extractor_run(tiny, stale, cache, env=file_faults.environment(faults, *unable))
    assert result.returncode == 0, result.stderr
    assert cache.read_bytes() == (stale.parent / "finished.h5").read_bytes()


def test_an_interrupt_while_stored_rows_are_checked(tiny, stale, tmp_path, faults):
    partial = tmp_path / "a.h5.partial"
    shutil.copy(stale.parent / "stopped.h5.partial", partial)
    before = partial.read_bytes()
    arguments = extract_command(tiny, stale, tmp_path / "a.h5")
    slow = file_faults.environment(faults, ("pread", -60, 0, ALWAYS, "a.h5.partial"))
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=slow)
    descriptors = f"/proc/{process.pid}/fd"
    while process.poll() is None and str(partial) not in links_of(descriptors):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 4, messages
    assert "run the same command again to go on" in messages and "resuming" not in messages
    assert partial.read_bytes() == before
    subprocess.run(arguments, check=True, capture_output=True)
    assert (tmp_path / "a.h5").read_bytes() == (stale.parent / "finished.h5").read_bytes()


def links_of(folder):
    names = []
    for entry in os.listdir(folder) if os.path.exists(folder) else []:
        try:
            names.append(os.readlink(os.path.join(folder, entry)))
        except OSError:
            pass
    return names


def file_size_limit(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_quota_stops_the_extractor_at_once_and_it_goes_on_without(tiny, stale, tmp_path):
    cache = tmp_path / "a.h5"
    result = extractor_run(tiny, stale, cache, preexec_fn=file_size_limit(100_000))
    assert result.returncode == 1, result.stderr
    only_error(result, "a.h5.partial", "File too large")
    assert not list(tmp_path.glob("a.h5.p*"))
    result = extractor_run(tiny, stale, cache)
    assert result.returncode == 0, result.stderr
    assert cache.read_bytes() == (stale.parent / "finished.h5").read_bytes()


def test_a_quota_stops_the_trainer_and_it_goes_on_without(tiny, usual, tmp_path):
    run = tmp_path / "run"
    result = train(tiny, run, status=1, preexec_fn=file_size_limit(20_000))
    only_error(result, str(run), "File too large")
    assert not (run / "networks.csv").exists()
    train(tiny, run)
    assert_same_network(usual, run)


def mounted(folder, size, test):
    """Mounts a small file system. Where only root may, the test runs as such in a namespace of its
    own, and False is returned here."""
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
                           capture_output=True, text=True, check=False)
    if mount.returncode == 0:
        return True
    inner = "LAST_OWN_NAMESPACE" not in os.environ and call(
        "unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", folder).returncode == 0
    if not inner:
        pytest.skip(f"no small file system can be mounted here: {mount.stderr.strip()}")
    run = call("unshare", "-Urm", sys.executable, "-m", "pytest", "-q", f"{__file__}::{test}",
               env={**os.environ, "LAST_OWN_NAMESPACE": "1"})
    assert run.returncode == 0 and "1 passed" in run.stdout, run.stdout
    return False


def test_a_run_directory_on_a_disk_that_is_full_read_only_or_gone(tiny, usual, tmp_path):
    disk = tmp_path / "disk"
    if not mounted(disk, "300k",
                   "test_a_run_directory_on_a_disk_that_is_full_read_only_or_gone"):
        return
    try:
        (disk / "ballast").write_bytes(bytes(250_000))
        only_error(train(tiny, disk / "run", status=1), disk / "run", "No space left on device")
        assert not (disk / "run/networks.csv").exists()
        (disk / "ballast").unlink()
        train(tiny, disk / "run")
        assert_same_network(usual, disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        only_error(train(tiny, disk / "other", status=1), disk / "other", "Read-only file system")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_second_trainer_and_a_run_directory_that_is_removed(tiny, tmp_path):
    run = tmp_path / "run"
    arguments = [str(a) for a in (
        tool("trainer"), "run", "--run", run, "--train", tiny["train"], "--target", "corner",
        "--epochs", "100000", "--checkpoint-every", "0.1s")]
    first = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        checkpoint = run / "checkpoints/search.safetensors"
        while first.poll() is None and not checkpoint.exists():
            time.sleep(0.01)
        assert first.poll() is None
        result = call(*arguments)
        assert result.returncode == 1
        only_error(result, run / ".lock", "another process is writing there")
        while run.exists() and first.poll() is None:  # it may write while we remove
            shutil.rmtree(run, ignore_errors=True)
        _, messages = first.communicate(timeout=300)
    finally:
        first.kill()
    assert first.returncode == 1, messages
    assert messages.count(": error: ") == 1 and str(run) in messages.splitlines()[-1], messages


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, "--time-limit"])
def test_an_interrupt_finishes_the_row_in_hand(tiny, stale, tmp_path, faults, sent):
    cache = tmp_path / "a.h5"
    partial = tmp_path / "a.h5.partial"
    arguments = extract_command(tiny, stale, cache)
    if sent == "--time-limit":
        for seconds in (1, 2, 4, 8, 16):  # a slow machine may be at nothing yet
            result = call(*arguments, sent, f"{seconds}s", env=slow_disk(faults, 40))
            status, messages = result.returncode, result.stderr
            if rows_stored(partial) > 0:
                break
            assert status == 4 and "the time limit is over" in messages, messages
    else:
        process = start_slowly(arguments, cache, faults, rows=4)
        process.send_signal(sent)
        _, messages = process.communicate(timeout=300)
        status = process.returncode
    assert status == 4, messages
    assert not cache.exists()
    assert "run the same command again to go on" in messages
    with h5py.File(partial, "r") as store:
        states = store["row_state"][:]
        assert set(states) == {0, 1}
        for row in np.flatnonzero(states):
            assert crc32c(store["features"][row].tobytes()) == store["row_crc32c"][row]
    subprocess.run(arguments, check=True, capture_output=True)
    assert cache.read_bytes() == (stale.parent / "finished.h5").read_bytes()


def test_a_disk_that_is_full_or_gone(tiny, stale, tmp_path):
    disk = tmp_path / "disk"
    if not mounted(disk, "2m", "test_a_disk_that_is_full_or_gone"):
        return
    try:
        (disk / "ballast").write_bytes(bytes(1_600_000))
        result = extractor_run(tiny, stale, disk / "a.h5")
        only_error(result, "not enough space", "bytes missing", "a.h5.partial")
        assert sorted(path.name for path in disk.iterdir()) == ["a.h5.lock", "ballast"]
        (disk / "ballast").unlink()
        result = extractor_run(tiny, stale, disk / "a.h5")
        assert result.returncode == 0, result.stderr
        assert (disk / "a.h5").read_bytes() == (stale.parent / "finished.h5").read_bytes()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        only_error(extractor_run(tiny, stale, disk / "b.h5"), "b.h5.lock", "Read-only file system")
        result = call(tool("extractor"), "verify", "--cache", disk / "a.h5")
        assert result.returncode == 0, result.stderr
    finally:
        subprocess.run(["umount", disk], check=True)
