"""`trainer run --labels`: as if the stores had been extracted with those labels, and what is refused."""

import csv
import json

import h5py
import pandas
import pytest

from tiny_stores import draw_images, extract
from trainer_runs import command, failing, same_networks, train

COLOURS = ("blue", "green", "red")


def write_labels(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def labels_of(tiny, column, names=()):
    """All samples of the three stores: [id, label]."""
    rows = []
    for split in ("train", "val", "test"):
        with h5py.File(tiny[split]) as store:
            values = store[f"labels/{column}"][:]
            ids = [i.decode() for i in store["sample_id"][:]]
        rows += [[i, names[v] if names else v] for i, v in zip(ids, values)]
    return rows


def accuracies(run):
    return pandas.read_csv(run / "networks.csv").drop(columns=["seconds"])


def test_labels_stand_in_for_an_extraction_with_them(tiny, tmp_path):
    """One run with the stores' own column, one with the same labels under another name."""
    own, file = tmp_path / "own", tmp_path / "file"
    train(tiny, own, "--target", "colour,corner")
    colours = {i: v for i, v in labels_of(tiny, "colour", COLOURS)}
    rows = [[i, colours[i], corner] for i, corner in labels_of(tiny, "corner")]
    labels = write_labels(tmp_path / "labels.csv", ["path", "hue", "place"], rows)
    result = train(tiny, file, "--labels", labels, "--target", "hue,place")
    assert "for 96 of 96 images of --train, 40 of 40 images of --val, 60 of 60 images of --test" \
        in result.stderr
    same_networks(own, file, range(2))
    first, second = accuracies(own), accuracies(file)
    assert list(second.target) == ["hue", "place"]
    pandas.testing.assert_frame_equal(first.drop(columns="target"), second.drop(columns="target"))


def test_samples_the_file_does_not_name_keep_their_labels(tiny, tmp_path):
    """Half of the training labels are given again, the rest is as stored: the same run."""
    own, file = tmp_path / "own", tmp_path / "file"
    train(tiny, own)
    rows = labels_of(tiny, "colour", COLOURS)[:48]
    labels = write_labels(tmp_path / "labels.csv", ["path", "colour"], rows)
    result = train(tiny, file, "--labels", labels)
    assert "for 48 of 96 images of --train, 0 of 40" in result.stderr
    same_networks(own, file, range(2))


def test_an_empty_cell_takes_a_label_away_and_a_new_class_is_added(tiny, tmp_path):
    rows = labels_of(tiny, "colour", COLOURS)
    rows = [[i, {"red": "crimson"}.get(c, c)] for i, c in rows]  # a class renamed: red is gone
    for row in rows[:16]:
        row[1] = ""
    labels = write_labels(tmp_path / "labels.csv", ["path", "colour"], rows)
    result = train(tiny, tmp_path / "again", "--labels", labels, "--target", "colour")
    assert "no training image" not in result.stderr  # of the class that was renamed
    about = json.loads((tmp_path / "again" / "config.json").read_text())["data"]
    assert about["targets"] == [{"name": "colour", "classes": 3}]
    # Against stores that were extracted with these labels.
    images = {}
    for seed, (name, count) in enumerate([("train", 96), ("val", 40), ("test", 60)]):
        path = draw_images(tmp_path, name, count, seed)
        wanted = [r for r in rows if r[0].startswith(name + "/")]
        write_labels(path, ["path", "colour"], wanted)
        images[name] = extract(tiny["weights"], path, tmp_path / f"{name}.h5")
    train(images, tmp_path / "extracted", "--target", "colour")
    same_networks(tmp_path / "again", tmp_path / "extracted", [0])


def test_resuming_with_other_labels_is_refused(tiny, tmp_path):
    run = tmp_path / "run"
    rows = labels_of(tiny, "corner")
    labels = write_labels(tmp_path / "labels.csv", ["path", "place"], rows)
    train(tiny, run, "--labels", labels, "--target", "place")
    assert "finished already" in train(tiny, run, "--labels", labels, "--target", "place").stderr
    assert "labels_sha256" in failing(command(tiny, run, "--target", "corner"), 1)
    write_labels(labels, ["path", "place"], rows[::-1])
    message = failing(command(tiny, run, "--labels", labels, "--target", "place"), 1)
    assert "labels_sha256" in message


def test_what_a_file_of_labels_must_not_hold(tiny, tmp_path):
    ids = [i for i, _ in labels_of(tiny, "corner")]
    path = tmp_path / "labels.csv"
    cases = [
        ("path,colour\ntrain/000.png,red\nno.png,red\nnope.png,red\n", ":3:", '"no.png"', "1 others"),
        (f"path,colour\n{ids[0]},red\n{ids[0]},blue\n", ":3:", "twice", "line 2"),
        (f"path,colour\n{ids[0]},red,blue\n", ":2:", "3 fields", "2"),
        ("id,colour\n", ":1:", "header must be path", "id"),
        ("path;colour\ntrain/000.png;1\n", ":1:", "semicolons", "commas are expected"),
        (f"path,{'a' * 101}\ntrain/000.png,1\n", ":1:", "column 2 has 101 bytes", "at most 100"),
        ("path\ntrain/000.png\n", ":1:", "no label column", "path,NAME"),
        ("path,colour\n", ": ", "no labels", "in it"),
        ("", "labels.csv", "empty", "path,NAME"),
        (f"path,corner\n{ids[0]},-3\n", ":2:", "negative", "corner"),
        (f"path,corner\n{ids[0]},99999999999\n", ":2:", "above", "corner"),
        (f"path,corner\n{ids[0]},0.5\n", ":2:", "fractions", "corner"),
        (f"path,corner\n{ids[0]},north\n", "corner", "class names", "class indices"),
        (f"path,colour\n{ids[0]},7\n", "colour", "class indices", "class names"),
        (f"path,colour\n\"{ids[0]},red\n", ":2:", "quoted field", "never ends"),
        ("path,a,a\n", ":1:", "two columns", '"a"'),
        ("path,colour\na\0b,red\n", ":2:", "zero byte", "text"),
    ]
    for text, *parts in cases:
        path.write_bytes(text.encode())
        message = failing(command(tiny, tmp_path / "run", "--labels", path), 1)
        for part in parts:
            assert part in message, message
    assert "missing.csv" in failing(
        command(tiny, tmp_path / "run", "--labels", tmp_path / "missing.csv"), 1)
    assert not (tmp_path / "run").exists()


def test_whole_numbers_that_name_classes_are_names(tiny, tmp_path):
    """Folders may be called 0, 1, ..: a store of them has names, and labels are matched to those."""
    stores = {}
    for seed, (name, count) in enumerate([("train", 40), ("val", 20)]):
        images = draw_images(tmp_path / "drawn", name, count, seed)
        for line in images.read_text().splitlines()[1:]:
            image, corner, _ = line.split(",")
            folder = tmp_path / name / f"1{corner}"
            folder.mkdir(parents=True, exist_ok=True)
            (tmp_path / "drawn" / image).rename(folder / f"{name}{image.split('/')[1]}")
        stores[name] = extract(tiny["weights"], tmp_path / name, tmp_path / f"{name}.h5")
    train(stores, tmp_path / "own", data=("train", "val"))
    with h5py.File(stores["train"]) as store:
        ids = [i.decode() for i in store["sample_id"][:]]
    labels = write_labels(tmp_path / "labels.csv", ["path", "label"],
                          [[i, i.split("/")[0]] for i in ids])
    train(stores, tmp_path / "file", "--labels", labels, data=("train", "val"))
    same_networks(tmp_path / "own", tmp_path / "file", [0])


def test_one_name_for_two_images_is_refused(tiny, tmp_path):
    stores = {}
    for seed, role in enumerate(("train", "val")):
        images = draw_images(tmp_path / role, "set", 40, seed)
        stores[role] = extract(tiny["weights"], images, tmp_path / f"{role}.h5")
    labels = write_labels(tmp_path / "labels.csv", ["path", "place"], [["set/003.png", 1]])
    message = failing(command(stores, tmp_path / "run", "--labels", labels, "--target", "corner",
                              data=("train", "val")), 1)
    assert "labels.csv:2:" in message and "train.h5" in message and "val.h5" in message


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_byte_order_mark_quotes_and_line_ends(tiny, tmp_path, line_end):
    rows = [f'"{i}","{c}"' for i, c in labels_of(tiny, "colour", COLOURS)]
    labels = tmp_path / "labels.csv"
    labels.write_bytes(("\ufeff" + line_end.join(['path,"a ""hue"", here"', *rows])).encode())
    result = train(tiny, tmp_path / "run", "--labels", labels, "--epochs", "2")
    assert "96 of 96" in result.stderr
    targets = json.loads((tmp_path / "run" / "config.json").read_text())["data"]["targets"]
    assert [t["name"] for t in targets] == ["corner", "colour", 'a "hue", here']
