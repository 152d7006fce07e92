"""No test may let HDF5 print diagnostics of its own."""

import subprocess

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """HDF5's own diagnostics fail a test, also where a program's output went past Python."""
    report = (yield).get_result()
    if report.passed and any("HDF5-DIAG" in text for _, text in report.sections):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} ({call.when}): HDF5 printed diagnostics of its own"


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
