"""The C++ library's network against an independent PyTorch version, on fresh random cases."""

import os
import subprocess

import pytest

import network_reference
from paths import tool


@pytest.mark.parametrize("seed,sizes", [
    (1, network_reference.SMALL),
    (2, dict(dim=40, depth=4, tokens=13, prefix_tokens=1, batch=4, classes=7)),
    (3, dict(dim=33, depth=6, tokens=26, prefix_tokens=5, batch=3, classes=2)),
])
def test_logits_and_gradients_equal_pytorchs(tmp_path, seed, sizes):
    path = tmp_path / "cases.safetensors"
    network_reference.write(path, seed, sizes)
    result = subprocess.run(
        [tool("last_network_test"), "--gtest_filter=PyTorchReference.*"], check=False,
        env={**os.environ, "LAST_NETWORK_REFERENCE": str(path)}, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "[  PASSED  ] 1 test" in result.stdout, result.stdout  # the filter has found it
