"""Images that can't be reached for a while (an unmounted disk, an outage of a network file system):
the extraction stops, or waits for nothing and tries again; none of them ends as a bad image."""

import csv
import errno
import json
import os
import signal
import subprocess

import h5py
import pytest

import file_faults
from stopped_runs import start_and_stop
from tiny_stores import draw_images, extract, extract_command, rows_stored


@pytest.fixture(scope="module")
def usual(tiny, tmp_path_factory):
    """A list of 120 images, and the store that an uninterrupted run makes of it."""
    folder = tmp_path_factory.mktemp("usual")
    images = draw_images(folder, "many", 120, 3)
    cache = extract(tiny["weights"], images, folder / "whole.h5", "--batch-size", "4")
    return images, cache.read_bytes()


def test_a_folder_that_vanishes_stops_the_extraction_which_goes_on_later(tiny, usual, tmp_path,
                                                                         faults):
    images, whole = usual
    folder = images.parent / "many"
    cache = tmp_path / "a.h5"
    process = start_and_stop(extract_command(tiny, images, cache), cache, faults)
    folder.rename(folder.with_name("away"))
    try:
        process.send_signal(signal.SIGCONT)
        _, messages = process.communicate(timeout=300)
    finally:
        folder.with_name("away").rename(folder)
    assert process.returncode == 1, messages
    error = [line for line in messages.splitlines() if ": error: " in line]
    assert len(error) == 1 and f'the folder "{folder}" is gone' in error[0], messages
    assert "run the same command again" in error[0]
    assert not cache.exists() and not (tmp_path / "a.bad.csv").exists()
    assert 4 <= rows_stored(tmp_path / "a.h5.partial") < 120
    subprocess.run(extract_command(tiny, images, cache), check=True, capture_output=True)
    assert cache.read_bytes() == whole


def refused(tiny, images, cache, folder):
    """The command is repeated while `folder` is away."""
    result = subprocess.run(extract_command(tiny, images, cache), capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr
    assert f'the folder "{folder}" is gone or empty' in result.stderr, result.stderr
    assert "run the same command again" in result.stderr
    assert not cache.exists() and not cache.with_name("a.bad.csv").exists()


def test_a_command_that_is_repeated_while_the_folder_is_away(tiny, tmp_path, faults):
    """Its images are not bad: that goes for folders which were missing from the start."""
    images, away = draw_images(tmp_path, "one", 60, 3), tmp_path / "two"
    two = draw_images(tmp_path, "two", 20, 4).read_text().split("\n", 1)[1]
    images.write_text(images.read_text() + two + "nowhere/a.png,1,red\n")
    whole = tmp_path / "whole.h5"
    assert subprocess.run(extract_command(tiny, images, whole), check=False, capture_output=True).returncode == 3
    cache = tmp_path / "a.h5"
    process = start_and_stop(extract_command(tiny, images, cache), cache, faults)
    away.rename(tmp_path / "away")
    process.send_signal(signal.SIGCONT)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 1 and f'the folder "{away}" is gone' in messages, messages
    stored = rows_stored(tmp_path / "a.h5.partial")
    refused(tiny, images, cache, away)
    away.mkdir()  # the place of an unmounted disk
    refused(tiny, images, cache, away)
    assert rows_stored(tmp_path / "a.h5.partial") == stored
    away.rmdir()
    (tmp_path / "away").rename(away)
    again = subprocess.run(extract_command(tiny, images, cache), check=False, capture_output=True, text=True)
    assert again.returncode == 3, again.stderr
    assert cache.read_bytes() == whole.read_bytes()
    with open(tmp_path / "a.bad.csv", newline="", encoding="utf-8") as table:
        assert list(csv.reader(table))[1:] == [["nowhere/a.png", "no such file"]]
    with h5py.File(cache) as store:
        assert json.loads(store.attrs["config"])["run"]["absent_folders"] == ["nowhere"]


def test_a_folder_that_came_only_after_the_first_try(tiny, tmp_path, faults):
    images, away = draw_images(tmp_path, "late", 60, 3), tmp_path / "late"
    away.rename(tmp_path / "away")
    cache = tmp_path / "a.h5"
    first = subprocess.run(extract_command(tiny, images, cache), check=False, capture_output=True, text=True)
    assert first.returncode == 1 and "not one of" in first.stderr, first.stderr
    (tmp_path / "away").rename(away)
    process = start_and_stop(extract_command(tiny, images, cache), cache, faults)
    away.rename(tmp_path / "away")
    process.send_signal(signal.SIGCONT)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 1 and f'the folder "{away}" is gone' in messages, messages
    refused(tiny, images, cache, away)


def test_images_missing_in_a_folder_that_never_was_are_bad(tiny, tmp_path):
    images = draw_images(tmp_path, "some", 8, 3)
    images.write_text(images.read_text() + "nowhere/a.png,1,red\n")
    result = subprocess.run(extract_command(tiny, images, tmp_path / "a.h5"), capture_output=True, text=True,
                            check=False)
    assert result.returncode == 3, result.stderr
    with open(tmp_path / "a.bad.csv", newline="", encoding="utf-8") as table:
        assert list(csv.reader(table))[1:] == [["nowhere/a.png", "no such file"]]


def run_with(faults, arguments, *fault):
    return subprocess.run(arguments, capture_output=True, text=True, check=False,
                          env=file_faults.environment(faults, fault))


@pytest.mark.parametrize("call,code", [
    ("open", errno.ESTALE), ("open", errno.ENOMEM), ("read", errno.EIO)])
def test_an_image_that_the_system_fails_to_give_stops_the_extraction(tiny, usual, tmp_path, faults,
                                                                     call, code):
    images, whole = usual
    cache = tmp_path / "a.h5"
    result = run_with(faults, extract_command(tiny, images, cache), call, code, 0, 1, "many/110.png")
    assert result.returncode == 1, result.stderr
    assert "many/110.png" in result.stderr and os.strerror(code) in result.stderr, result.stderr
    assert not cache.exists() and not (tmp_path / "a.bad.csv").exists()
    subprocess.run(extract_command(tiny, images, cache), check=True, capture_output=True)
    assert cache.read_bytes() == whole


def test_an_image_that_was_away_for_a_while_is_extracted_in_the_end(tiny, usual, tmp_path, faults):
    images, whole = usual
    cache = tmp_path / "a.h5"
    result = run_with(faults, extract_command(tiny, images, cache), "open", errno.ENOENT, 0, 1, "many/101.png")
    assert result.returncode == 0, result.stderr
    assert "readable now" in result.stderr
    assert cache.read_bytes() == whole and not (tmp_path / "a.bad.csv").exists()


def test_an_image_that_may_not_be_read_is_bad_and_may_be_read_later(tiny, usual, tmp_path, faults):
    images, _ = usual
    cache = tmp_path / "a.h5"
    result = run_with(faults, extract_command(tiny, images, cache), "open", errno.EACCES, 0, 2, "many/101.png")
    assert result.returncode == 3, result.stderr
    assert os.strerror(errno.EACCES) in (tmp_path / "a.bad.csv").read_text()
    with h5py.File(cache) as store:
        assert store["row_state"][101] == 2
    result = subprocess.run(extract_command(tiny, images, cache), capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert 'lacks the image "many/101.png", which could not be read' in result.stderr, result.stderr
    mended = subprocess.run(extract_command(tiny, images, tmp_path / "b.h5") + ["--reuse", str(cache)],
                            capture_output=True, text=True, check=False)
    assert mended.returncode == 0, mended.stderr
    with h5py.File(tmp_path / "b.h5") as store:
        assert (store["row_state"][:] == 1).all()
