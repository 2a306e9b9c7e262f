"""python -m benchmarks.gpu_resources: what every CUDA kernel takes of a GPU, from the compiler; no GPU is needed.

Compiles csrc/cuda for each architecture and writes results/gpu_resources.csv: registers, bytes in local memory (spilled), shared memory
per kernel and architecture, and how many 16-byte and narrower accesses to global memory its code holds. The narrower ones are the
tails of rows, the ends of sequences, and lanes of one channel; a kernel of wide lanes without 16-byte ones would be a mistake.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import csv
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lrnn_kernels import build

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent / "csrc"
TABLE = HERE / "results" / "gpu_resources.csv"

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
FLAGS = ["-std=c++20", "-O3", "-DLRNN_ISA=gpu", "-Xptxas", "-v"]

COLUMNS = ("kernel", "architecture", "registers", "spilled_bytes", "shared_bytes", "wide_accesses", "narrow_accesses")


def sources() -> list[Path]:
    return sorted((CSRC / "cuda").glob("*.cu"))


def source_hash() -> str:
    """A digest of all that the kernels are compiled from."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted(
        [*(CSRC / "cuda").glob("*.cu*"), CSRC / "cuda/kernels.h", CSRC / "cuda/plan.h", *(CSRC / "cells").glob("*.h"), CSRC / "cpu/args.h"]
    ):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def measure(source: Path, architecture: str) -> list[dict[str, str]]:
    """The rows of one file's kernels for one architecture. Raises RuntimeError on errors and on warnings."""
    number = architecture.removeprefix("sm_")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            build.find_nvcc() or "nvcc",
            *FLAGS,
            "-gencode",
            f"arch=compute_{number},code={architecture}",
            "--keep",
            "--keep-dir",
            folder,
        ]
        done = subprocess.run(
            [*command, "-c", str(source), "-o", f"{folder}/out.o"], capture_output=True, text=True, check=False, cwd=folder
        )
        if done.returncode != 0:
            raise RuntimeError(f"{source.name} for {architecture}:\n{done.stderr[-4000:]}")
        warnings = [line for line in done.stderr.splitlines() if "warning" in line]
        if warnings:
            raise RuntimeError(f"{source.name} for {architecture}:\n" + "\n".join(warnings))
        ptx = next(Path(folder).glob("*.ptx")).read_text()
    return rows(done.stderr, ptx, architecture)


def rows(log: str, ptx: str, architecture: str) -> list[dict[str, str]]:
    """From ptxas' words and the code that it read."""
    found = {}
    for part in log.split("Compiling entry function ")[1:]:
        symbol = re.match(r"'(\w+)'", part)[1]
        spilled = sum(int(n) for n in re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads)", part))
        shared = re.search(r"(\d+) bytes smem", part)
        found[symbol] = {
            "architecture": architecture,
            "registers": re.search(r"Used (\d+) registers", part)[1],
            "spilled_bytes": str(spilled),
            "shared_bytes": shared[1] if shared else "0",
        }
    for part in re.split(r"^\.visible \.entry |^\.entry ", ptx, flags=re.M)[1:]:
        symbol = re.match(r"\w+", part)[0]
        accesses = re.findall(r"\b(?:ld|st)\.global[\w.:]*?(\.v[248])?\.[busf](8|16|32|64)\b", part)
        wide = sum(int(vector[2:] or 1) * int(bits) == 128 for vector, bits in accesses)
        found[symbol] |= {"wide_accesses": str(wide), "narrow_accesses": str(len(accesses) - wide)}
    names = readable(list(found))
    return [{"kernel": name, **row} for name, row in zip(names, found.values(), strict=True)]


def readable(symbols: list[str]) -> list[str]:
    """affine<Forward, Linear, Real<float, float>> for the linker's name of it."""
    done = subprocess.run(["c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True)
    short = [re.sub(r"^void |lrnn::(?:gpu::)?|\(lrnn::(?:ScanArgs|Sums).*", "", name) for name in done.stdout.splitlines()]
    short = [re.sub(r"\(Alpha\)(\d)", lambda m: ("kPerChannel", "kPerStep")[int(m[1])], name) for name in short]
    return [name.replace(" >", ">").split("(")[0] for name in short]


def table(files: list[Path], architectures: tuple[str, ...]) -> list[dict[str, str]]:
    with concurrent.futures.ThreadPoolExecutor(max(1, (os.cpu_count() or 1))) as pool:
        parts = list(pool.map(lambda job: measure(*job), [(file, a) for file in files for a in architectures]))
    unique = {(row["kernel"], row["architecture"]): row for part in parts for row in part}
    return [unique[key] for key in sorted(unique)]


def read() -> tuple[str, list[dict[str, str]]]:
    """The checked-in table: the digest of its sources, and its rows."""
    with TABLE.open() as file:
        digest = file.readline().removeprefix("# sources ").strip()
        return digest, list(csv.DictReader(file))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_resources", description=__doc__)
    parser.add_argument("--out", type=Path, default=TABLE)
    args = parser.parse_args()
    found = table(sources(), ARCHITECTURES)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as file:
        file.write(f"# sources {source_hash()}\n")
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    worst = max(found, key=lambda row: int(row["registers"]))
    spills = [row for row in found if row["spilled_bytes"] != "0"]
    print(f"{len(found)} rows; most registers {worst['registers']} ({worst['kernel']}, {worst['architecture']}); {len(spills)} spill")
    for row in spills:
        print(f"SPILL {row['kernel']} {row['architecture']}: {row['spilled_bytes']} bytes")
    return 1 if spills else 0


if __name__ == "__main__":
    sys.exit(main())
