"""Peak memory of `trainer run` on stores of two sizes, made here and removed.

    .venv/bin/python tests/interop/streaming_memory.py --megabytes 1000 8000 --memory 512M [--dir DIR]

Prints a line per store: peak resident memory (VmHWM) and peak anonymous memory (RssAnon: without the
programs' own files; the page cache belongs to neither), in MB. Exit status 1 if they grow by more
than 5 %.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

from paths import tool
from process_memory import peaks_of

LIMIT = 1.05
FAST = ["--epochs", "2", "--warmup-epochs", "0", "--rank", "2", "--batch-size", "32",
        "--quiet"]


def make_store(path, megabytes):
    subprocess.run([tool("make_large_store"), path, str(megabytes)], check=True)
    return path


def peak_of_training(store, run, memory, *options):
    """Peaks of both kinds in MB over a run that must succeed."""
    process = subprocess.Popen(
        [str(a) for a in (tool("trainer"), "run", "--train", store, "--run", run, "--memory",
                          memory, *FAST, *options)])
    peaks = peaks_of(process)
    assert process.returncode == 0, process.returncode
    return {kind: value / 1e6 for kind, value in peaks.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, nargs=2, default=(1000, 8000))
    parser.add_argument("--memory", default="512M")
    parser.add_argument("--dir", default=".", help="where the stores are made")
    options = parser.parse_args()
    peaks = []
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        for megabytes in options.megabytes:
            store = make_store(pathlib.Path(folder) / "store.h5", megabytes)
            peaks.append(peak_of_training(store, pathlib.Path(folder) / f"run{megabytes}",
                                          options.memory))
            store.unlink()
            print(f"{megabytes} MB: peak {peaks[-1]['VmHWM']:.0f} MB, of it at most "
                  f"{peaks[-1]['RssAnon']:.0f} MB anonymous", flush=True)
    return any(peaks[1][name] > LIMIT * peaks[0][name] for name in peaks[0])


if __name__ == "__main__":
    sys.exit(main())
