"""How much memory a program takes while it runs, as Linux tells."""

import pathlib
import time

KINDS = ("VmHWM", "RssAnon")  # everything it had, at most, and what no file stands behind, now


def memory_of(process):
    """{kind: bytes}, or nothing when it has ended."""
    try:
        lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {kind: int(fields[kind].split()[0]) * 1024 for kind in KINDS if kind in fields}


def peaks_of(process):
    """The largest of each kind in bytes; returns when the process has ended."""
    peaks = dict.fromkeys(KINDS, 0)
    while process.poll() is None:
        for kind, value in memory_of(process).items():
            peaks[kind] = max(peaks[kind], value)
        time.sleep(0.005)
    return peaks
