"""scripts/compare_peft.py: every method on a small task, chosen rates, seeds and extrapolated times."""

import csv
import io
import os
import subprocess
import sys

import numpy
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from paths import BIN, ROOT

SIZES = {"train800": 64, "val200": 32, "test": 40}


def draw(generator, label):
    """Light above or light below: what a network of random weights can tell as well."""
    pixels = generator.integers(0, 60, (160, 160, 3), dtype=numpy.uint8)
    pixels[:80 if label else 40] += 120
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task")
    generator = numpy.random.default_rng(0)
    lines = {}
    for name, count in SIZES.items():
        lines[name] = []
        for row in range(count):
            draw(generator, row % 2).save(folder / f"{name}.{row}.png")
            lines[name].append(f"{name}.{row}.png {row % 2}\n")
    lines["train800val200"] = lines["train800"] + lines["val200"]
    for name, rows in lines.items():
        (folder / f"{name}.txt").write_text("".join(rows))
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), folder / "vit.safetensors")
    return folder


def compare(task, *arguments):
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts/compare_peft.py"), "--task", str(task), "--weights",
         str(task / "vit.safetensors"), "--model", "test_vit", "--size", "160", "--device", "cpu",
         "--work", str(task), *arguments],
        capture_output=True, text=True, check=False, env=os.environ | {"LAST_BIN": str(BIN)})
    assert result.returncode == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout))), result.stderr


def test_methods_learn_and_stand_in_one_table(task):
    rows, messages = compare(task, "--method", "linear,lora,last", "--learning-rate", "1e-6,1e-2",
                             "--epochs", "4", "--warmup-epochs", "1", "--seeds", "0,1", "--last-options", "--rank 4")
    assert [row["method"] for row in rows] == ["linear", "lora", "last"]
    for row in rows:
        assert float(row["test_accuracy"]) >= 90, row
        assert float(row["test_std"]) >= 0
        assert float(row["total_seconds"]) >= float(row["seconds_per_epoch"]) * 4
        assert float(row["peak_memory_mb"]) > 10
    parameters = {row["method"]: int(row["parameters"]) for row in rows}
    assert parameters["linear"] < parameters["lora"]
    # A rate of 1e-6 learns nothing in 4 epochs: whoever chose by val200 chose the other one.
    assert {float(row["learning_rate"]) for row in rows} == {1e-2}
    assert messages.count("% on val200") == 2 * 2 and messages.count("% on test") == 2 * 2
    assert not list(task.glob("tmp*")), "the feature store is left behind"


def test_steps_extrapolate_time_and_test_nothing(task):
    rows, _ = compare(task, "--method", "full,last", "--steps", "2", "--epochs", "10", "--precision",
                      "bf16" if "amx_bf16" in open("/proc/cpuinfo", encoding="utf-8").read() else "fp32")
    for row in rows:
        assert row["test_accuracy"] == ""
        expected = float(row["preparation_seconds"]) + 10 * float(row["seconds_per_epoch"])
        assert float(row["total_seconds"]) == pytest.approx(expected, abs=0.2)


def test_what_is_missing_is_named(task):
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts/compare_peft.py"), "--task", str(task), "--weights",
         str(task / "vit.safetensors"), "--model", "test_vit", "--method", "last", "--steps", "1"],
        capture_output=True, text=True, check=False, env=os.environ | {"LAST_BIN": str(task)})
    assert result.returncode != 0 and f"{task}/extractor is not built" in result.stderr
