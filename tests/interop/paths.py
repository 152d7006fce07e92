"""Where the built programs and the shared data are, and what happens where they are missing."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LAST_BIN", ROOT / "build" / "bin"))
SHARED = pathlib.Path(os.environ.get("LAST_SHARED", ROOT.parent / "shared"))


def tool(name):
    """A built program; it must be there."""
    path = BIN / name
    assert path.exists(), f"{path} is not built (scripts/build.sh --tests)"
    return path


def missing(message):
    """Skips the test that lacks something; in continuous integration it fails."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def shared(path):
    """A file of the shared data; it may be missing."""
    full = SHARED / path
    if not full.exists():
        missing(f"shared data are missing: {full}")
    return full
