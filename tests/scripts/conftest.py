"""Lets the tests import the scripts beside which they stand, and watches what these print."""

import subprocess
import sys

import pytest

from repository import ROOT

sys.path.insert(0, str(ROOT / "scripts"))


@pytest.fixture(autouse=True)
def hdf5_is_silent(monkeypatch):
    """HDF5 prints diagnostics of its own where it isn't kept from it; no program of ours does."""
    communicate = subprocess.Popen.communicate

    def checked(process, *arguments, **options):
        outputs = communicate(process, *arguments, **options)
        for output in outputs:
            text = output if isinstance(output, str) else (output or b"").decode(errors="replace")
            assert "HDF5-DIAG" not in text, text
        return outputs

    monkeypatch.setattr(subprocess.Popen, "communicate", checked)
