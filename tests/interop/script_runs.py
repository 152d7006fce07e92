"""Runs our Python scripts without processes of their own, which take seconds to import torch."""

import contextlib
import io
import runpy
import subprocess
import sys
import warnings
from unittest import mock

from paths import ROOT


def run_script(name, *arguments):
    """What subprocess.run() would give: exit status, and texts of standard output and error."""
    command = [str(argument) for argument in (ROOT / "scripts" / name, *arguments)]
    code, out, err = 0, io.StringIO(), io.StringIO()
    with mock.patch.object(sys, "argv", command), contextlib.redirect_stdout(out), (
            contextlib.redirect_stderr(err)), warnings.catch_warnings():
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as stop:
            code = 1 if isinstance(stop.code, str) else stop.code or 0
            if isinstance(stop.code, str):
                print(stop.code, file=err)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())
