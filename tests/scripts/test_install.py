"""`cmake --install` gives programs that run from where they are installed."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LAST_BIN", ROOT / "build" / "bin")).parent


@pytest.mark.parametrize("program", ["extractor", "trainer"])
def test_installed_programs_run(tmp_path, program):
    subprocess.run(["cmake", "--install", BUILD, "--prefix", tmp_path], check=True,
                   capture_output=True)
    result = subprocess.run([tmp_path / "bin" / program, "run", "--help"], check=True,
                            capture_output=True, text=True, cwd="/")
    assert result.stdout.startswith(f"{program} run - ")
