"""The demonstration's promise: side networks find what the backbone's final tokens have lost.

Needs both programs built (LAST_BIN, default build/bin) and takes a few minutes.
"""

import csv
import os
import shutil
import subprocess
from collections import Counter

import pytest
from repository import ROOT

import demo_table

BIN = ROOT / os.environ.get("LAST_BIN", "build/bin")
TARGETS = ("shape", "position", "orientation", "count")
MARGIN = 10.0  # points on the test images


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    if not (BIN / "trainer").exists() or not (BIN / "extractor").exists():
        assert "CI" not in os.environ, f"{BIN} has no programs"
        pytest.skip(f"the programs are not in {BIN}")
    folder = tmp_path_factory.mktemp("demo")
    result = subprocess.run(["bash", str(ROOT / "scripts" / "demo.sh"), str(folder)],
                            capture_output=True, text=True, env={**os.environ, "LAST_BIN": str(BIN)})
    assert result.returncode == 0, result.stderr[-3000:]
    yield folder, result.stdout
    shutil.rmtree(folder)


def test_side_networks_beat_linear_probes_where_the_final_tokens_are_blind(demo):
    folder, printed = demo
    best = demo_table.by_target(demo_table.read_networks(folder))
    for target in ("position", "orientation"):
        accuracy = {method: float(row["test_accuracy"]) for method, row in best[target].items()}
        assert accuracy["last"] >= accuracy["linear"] + MARGIN, (target, accuracy)
        assert target in printed


def test_every_network_of_the_grid_was_trained(demo):
    folder, _ = demo
    for method, settings in (("last", 4), ("linear", 16)):
        with open(folder / method / "networks.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert Counter(row["target"] for row in rows) == {target: settings for target in TARGETS}
        assert all(row["status"] == "ok" for row in rows)
