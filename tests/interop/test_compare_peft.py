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


def compare(task, *arguments, binaries=BIN):
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts/compare_peft.py"), "--task", str(task), "--weights",
         str(task / "vit.safetensors"), "--model", "test_vit", "--size", "160", "--device", "cpu",
         "--work", str(task), *arguments],
        capture_output=True, text=True, check=False, env=os.environ | {"LAST_BIN": str(binaries)})
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


def test_a_preset_and_an_ensemble(task, tmp_path):
    # The trainer's own command line and table, seen by a program that stands in its place.
    (tmp_path / "extractor").symlink_to(BIN.resolve() / "extractor")
    trainer = tmp_path / "trainer"
    trainer.write_text(f"""#!{sys.executable}
import shutil, subprocess, sys
status = subprocess.run([{str(BIN.resolve() / "trainer")!r}, *sys.argv[1:]]).returncode
run = sys.argv[sys.argv.index("--run") + 1]
open({str(tmp_path / "arguments")!r}, "w").write("\\n".join(sys.argv[1:]))
shutil.copytree(run, {str(tmp_path / "run")!r})
sys.exit(status)
""")
    trainer.chmod(0o755)
    rows, _ = compare(task, "--method", "last", "--learning-rate", "1e-6", "--epochs", "7", "--seeds", "3,4",
                      "--last-options", "--preset quick --epochs 3 --warmup-epochs 1 --rank 4 --ensemble 2",
                      binaries=tmp_path)
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert "--learning-rate" not in arguments and "--weight-decay" not in arguments
    assert arguments.count("--epochs") == 1 and arguments[arguments.index("--epochs") + 1] == "3"
    networks = list(csv.DictReader(open(tmp_path / "run/networks.csv", encoding="utf-8")))
    searched = [n for n in networks if n["stage"] == "search" and n["method"] == "last"]
    assert len({(n["pool"], n["learning_rate"], n["head_learning_rate_scale"]) for n in searched}) == 8
    best = min(searched, key=lambda n: (-float(n["val_accuracy"]), float(n["val_loss"]), int(n["parameters"]),
                                        int(n["network"])))
    names = ["method", "pool", "learning_rate", "head_learning_rate_scale"]
    again = [float(n["test_accuracy"]) for n in networks if n["stage"] == "retrain" and n["seed"] in ("3", "4")
             and all(n[name] == best[name] for name in names)]
    assert len(again) == 2
    assert [row["method"] for row in rows] == ["last", "last ensemble"]
    assert float(rows[0]["test_accuracy"]) == pytest.approx(sum(again) / 2, abs=0.006)
    assert float(rows[0]["learning_rate"]) == float(best["learning_rate"])
    ensemble = [e for e in csv.DictReader(open(tmp_path / "run/ensembles.csv", encoding="utf-8"))
                if e["stage"] == "retrain"][0]
    assert float(rows[1]["test_accuracy"]) == pytest.approx(float(ensemble["test_accuracy"]), abs=0.006)
    members = {n["network"]: int(n["parameters"]) for n in networks if n["network"] in ensemble["members"].split(";")}
    assert int(rows[1]["parameters"]) == sum(members.values())


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
    assert result.stdout == ""
