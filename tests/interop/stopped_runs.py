"""Extractions that are caught in the middle, however fast the machine is: every write to the
unfinished store comes late."""

import signal
import subprocess
import time

import file_faults
from tiny_stores import rows_stored

PATIENCE = 300  # seconds


def slow_disk(faults, milliseconds):
    """An environment in which a row, of five writes, takes five times `milliseconds` at least."""
    return file_faults.environment(faults, ("pwrite", -milliseconds, 0, file_faults.ALWAYS, ".partial"))


def start_slowly(arguments, cache, faults, rows, milliseconds=4):
    """A run that has stored at least `rows` rows and goes on."""
    partial = cache.with_name(cache.name + ".partial")
    process = subprocess.Popen([str(a) for a in arguments], stderr=subprocess.PIPE, text=True,
                               env=slow_disk(faults, milliseconds))
    end = time.monotonic() + PATIENCE
    while rows_stored(partial) < rows:
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise AssertionError(f"{rows} rows were waited for: {process.communicate()[1]}")
        time.sleep(0.002)
    return process


def start_and_stop(arguments, cache, faults, rows=4):
    """As start_slowly(), stopped by SIGSTOP; SIGCONT lets it go on."""
    process = start_slowly(arguments, cache, faults, rows)
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None
    return process
