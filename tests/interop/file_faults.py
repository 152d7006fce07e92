"""Runs a program whose file system fails: builds file_faults.c, which says how, and preloads it."""

import os
import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).with_suffix(".c")
ALWAYS = 1_000_000  # calls


def build(folder):
    """The library's path."""
    library = folder / "file_faults.so"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o",
                    library, SOURCE, "-ldl"], check=True)
    return library


def environment(library, *faults):
    """Each fault is (call, errno, calls that succeed first, calls that fail then, end of the name)."""
    return {**os.environ, "LD_PRELOAD": str(library),
            "FAULT": ";".join(" ".join(map(str, fault)) for fault in faults)}
