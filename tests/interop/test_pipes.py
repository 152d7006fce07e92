"""A pipe where a file is expected is refused at once: opening one waits for whoever writes into it,
and a text that is read from one by its size would be empty."""

import os
import subprocess
import threading

import pytest

from paths import tool
from tiny_stores import draw_images

PATIENCE = 60  # seconds; a program that waits for the pipe would do so for ever


@pytest.fixture
def pipe(tmp_path):
    def make(name):
        path = tmp_path / name
        os.mkfifo(path)
        return path

    return make


def refused(*arguments):
    result = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=False,
                            timeout=PATIENCE)
    assert result.returncode in (1, 2), result
    return result.stderr


@pytest.mark.parametrize("name", ["a.h5", "vit.safetensors", "vit.npz", "net.safetensors", "list.csv",
                                  "list.txt", "labels.csv"])
def test_a_pipe_is_refused(tiny, tmp_path, pipe, name):
    path = pipe(name)
    images = draw_images(tmp_path, "some", 2, 0)
    extraction = {"--weights": tiny["weights"], "--images": images, "--cache": tmp_path / "b.h5"}
    if name == "a.h5":
        commands = [("extractor", "verify", "--cache", path), ("extractor", "inspect", "--cache", path),
                    ("trainer", "run", "--train", path, "--run", tmp_path / "run")]
    elif name.startswith("vit"):
        commands = [("extractor", "run", *sum({**extraction, "--weights": path}.items(), ()))]
    elif name.startswith("net"):
        commands = [("extractor", "evaluate", "--weights", tiny["weights"], "--images", images,
                     "--networks", path, "--out", tmp_path / "out")]
    elif name.startswith("list"):
        commands = [("extractor", "run", *sum({**extraction, "--images": path}.items(), ()))]
    else:
        commands = [("trainer", "run", "--train", tiny["train"], "--run", tmp_path / "run", "--labels",
                     path)]
    for program, *arguments in commands:
        message = refused(tool(program), *arguments)
        assert path.name in message and "not a regular file" in message, message


def test_a_configuration_may_come_from_a_pipe(tiny, tmp_path, pipe):
    path = pipe("options.cfg")
    writer = threading.Thread(target=path.write_text, args=("epochs = 7\n",), daemon=True)
    writer.start()
    result = subprocess.run([tool("trainer"), "run", "--train", tiny["train"], "--run",
                             tmp_path / "run", "--config", path, "--dry-run"], capture_output=True,
                            text=True, check=False, timeout=PATIENCE)
    # Said of what was read: more epochs of warm-up than there are.
    assert result.returncode == 2 and "give --warmup-epochs 0..6" in result.stderr, result
