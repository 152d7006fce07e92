#!/usr/bin/env python3
"""Runs bench_bank and a prototype of the fused form in turn, and compares their times.

The prototype is a folder with fused.py and fused.cpp (torch's C++ extension), which prints core-ms
per image and network for one network of rank 16 at batch 32. Without AVX-512 its one intrinsic of
that kind is replaced by two of AVX2; the compiler splits its vectors.

    tests/benchmarks/bench_prototype.py --prototype DIR [--rounds 3]

Prints, per ViT and number of heads, the best time of each, and their ratio. Exit status 1 if we are
slower anywhere.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHAPES = [("ViT-B", 768, 1), ("ViT-B", 768, 2), ("ViT-Ti", 192, 1), ("ViT-Ti", 192, 2)]
SHIM = """#include <immintrin.h>
static inline __attribute__((vector_size(64))) float last_cvtph(__m256i h) {
  union { __m256 part[2]; __attribute__((vector_size(64))) float all; } u;
  u.part[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(h));
  u.part[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(h, 1));
  return u.all;
}
#define _mm512_cvtph_ps last_cvtph
"""


def has_avx512():
    return "avx512f" in Path("/proc/cpuinfo").read_text(encoding="utf-8")


def prepare(prototype, folder):
    """A copy of the prototype that runs on this processor."""
    source = (prototype / "fused.cpp").read_text(encoding="utf-8")
    (folder / "fused.cpp").write_text(source if has_avx512() else SHIM + source, encoding="utf-8")
    (folder / "fused.py").write_text((prototype / "fused.py").read_text(encoding="utf-8"),
                                     encoding="utf-8")
    return folder / "fused.py"


def prototype_time(script, dim, heads):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run([sys.executable, script, str(dim), str(heads)], text=True, check=True,
                            stdout=subprocess.PIPE, env=environment)
    return float(re.search(r"fused ([\d.]+) core-ms", result.stdout).group(1))


def own_time(tool, name, dim, heads, networks):
    pattern = f"{name}/D:{dim}/r:16/h:{heads}/K:{networks}/bf16:0/"
    result = subprocess.run([tool, f"--benchmark_filter={pattern}", "--benchmark_format=json"],
                            text=True, check=True, stdout=subprocess.PIPE)
    return json.loads(result.stdout)["benchmarks"][0]["core_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prototype", type=Path, required=True, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--build", type=Path, default=ROOT / "build", metavar="DIR")
    options = parser.parse_args()
    tool = options.build / "bin" / "bench_bank"
    slower = False
    print("vit,heads,prototype_core_ms,core_ms,core_ms_of_16,ratio")
    with tempfile.TemporaryDirectory() as folder:
        script = prepare(options.prototype, Path(folder))
        for name, dim, heads in SHAPES:
            peer, one, many = [], [], []
            for _ in range(options.rounds):
                peer.append(prototype_time(script, dim, heads))
                one.append(own_time(tool, name, dim, heads, 1))
                many.append(own_time(tool, name, dim, heads, 16))
            slowest = max(min(one), min(many))
            slower = slower or slowest > min(peer)
            print(f"{name},{heads},{min(peer):.2f},{min(one):.2f},{min(many):.2f},"
                  f"{min(peer) / slowest:.2f}", flush=True)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
