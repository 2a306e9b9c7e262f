"""What every CUDA kernel takes of a GPU, from nvcc.

Compiles csrc/cuda/kernel.cu for lines of csrc/cells/list.h, and csrc/cuda/population.cu for those
of csrc/neurons/list.h, for each architecture, and writes results/gpu_resources/LINE.csv: registers,
bytes in local memory (spilled), shared memory per kernel and architecture, and how many 16-byte and
narrower accesses to global memory its code holds. The narrower ones are the tails of rows, the ends
of sequences, lanes of one channel, and all of a neuron's; a kernel of wide lanes without 16-byte
ones would be a mistake.
"""

from __future__ import annotations

import concurrent.futures
import csv
import os
import re
import subprocess
import tempfile
from pathlib import Path

from lrnn_kernels.backends.build import libraries, sources
from lrnn_kernels.backends.build.cache import nvcc

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
TABLES = HERE.parent / "results" / "gpu_resources"

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
FLAGS = ["-std=c++20", "-O3", "-DLRNN_ISA=gpu", "-Xptxas", "-v"]

COLUMNS = (
    "kernel",
    "architecture",
    "registers",
    "spilled_bytes",
    "shared_bytes",
    "wide_accesses",
    "narrow_accesses",
)


#: A line of one of the lists: what is compiled by itself.
Line = libraries.Cell | libraries.Neuron


def lines() -> list[Line]:
    """All that are compiled: recurrences, then neurons."""
    return [*libraries.cells(), *libraries.neurons()]


def _source(line: Line) -> str:
    """The file that is compiled for a line."""
    return "cuda/kernel.cu" if isinstance(line, libraries.Cell) else "cuda/population.cu"


def source_hash(line: Line) -> str:
    """A digest of all that a line's kernels are compiled from."""
    if isinstance(line, libraries.Cell):
        also = (f"cells/{line.header}.h", f"cuda/engines/{line.engine}_launch.cuh")
    else:
        also = (f"neurons/{line.name}.h",)
    reached = sources.reached(CSRC / _source(line), also=tuple(CSRC / name for name in also))
    return sources.digest([*FLAGS, *line.flags], reached, CSRC)


def measure(line: Line, architecture: str, csrc: Path = CSRC) -> list[dict[str, str]]:
    """The rows of one line's kernels for one architecture. Raises RuntimeError on errors and on
    warnings."""
    number = architecture.removeprefix("sm_")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "csrc").symlink_to(
            csrc, target_is_directory=True
        )  # nvcc's own shell reads its paths: none of ours is among them
        command = [
            *nvcc().command,
            *FLAGS,
            *line.flags,
            "-gencode",
            f"arch=compute_{number},code={architecture}",
            "--keep",
            "--keep-dir",
            ".",
        ]
        done = subprocess.run(
            [*command, "-c", f"csrc/{_source(line)}", "-o", "out.o"],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{line.name} for {architecture}:\n{done.stderr[-4000:]}")
        warnings = [line for line in done.stderr.splitlines() if "warning" in line]
        if warnings:
            raise RuntimeError(f"{line.name} for {architecture}:\n" + "\n".join(warnings))
        ptx = next(Path(folder).glob("*.ptx")).read_text()
    return rows(done.stderr, ptx, architecture)


def rows(log: str, ptx: str, architecture: str) -> list[dict[str, str]]:
    """From ptxas' words and the code that it read."""
    found = {}
    for part in log.split("Compiling entry function ")[1:]:
        symbol = re.match(r"'(\w+)'", part)[1]
        spilled = sum(
            int(n)
            for n in re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads)", part)
        )
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
    done = subprocess.run(
        ["c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True
    )
    short = [
        re.sub(r"^void |lrnn::(?:gpu::)?|\(lrnn::(?:ScanArgs|Sums|gpu::PopulationCall).*", "", name)
        for name in done.stdout.splitlines()
    ]
    short = [
        re.sub(r"\(Drive\)(\d)", lambda m: ("constant", "waveform", "noise")[int(m[1])], name)
        for name in short
    ]
    short = [re.sub(r"FromTheFirst<(\w+)<(\w+)>, \2>", r"\1", name) for name in short]
    short = [
        re.sub(r"\(Alpha\)(\d)", lambda m: ("kPerChannel", "kPerStep")[int(m[1])], name)
        for name in short
    ]
    return [name.replace(" >", ">").split("(")[0] for name in short]


def table_of(line: Line) -> Path:
    return TABLES / f"{line.name}.csv"


def digest_of(line: Line) -> str:
    """Of the sources that a line's checked-in table was measured from; "" if there is none."""
    if not table_of(line).exists():
        return ""
    return table_of(line).read_text().split("\n", 1)[0].removeprefix("# sources ").strip()


def read() -> list[dict[str, str]]:
    """The rows of all checked-in tables; kernels that several lines share stand there once. A line
    that has not been measured has none."""
    unique = {}
    for line in lines():
        if not table_of(line).exists():
            continue
        with table_of(line).open() as file:
            file.readline()
            unique |= {(row["kernel"], row["architecture"]): row for row in csv.DictReader(file)}
    return [unique[key] for key in sorted(unique)]


def write(line: Line, found: list[dict[str, str]]) -> None:
    TABLES.mkdir(parents=True, exist_ok=True)
    with table_of(line).open("w", newline="") as file:
        file.write(f"# sources {source_hash(line)}\n")
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(found, key=lambda row: (row["kernel"], row["architecture"])))


def changed() -> list[str]:
    """The lines whose sources are not those that their tables were measured from."""
    return [line.name for line in lines() if digest_of(line) != source_hash(line)]


def check() -> int:
    """Compares the tables with the sources; 1 where one is not of these, or a kernel spills."""
    stale = changed()
    print("\n".join(f"{name}: its table is not of these sources" for name in stale))
    return 1 if stale else _spills()


def write_tables(names: list[str]) -> int:
    """Measures lines; 1 if a kernel spills."""
    named = {line.name: line for line in lines()}
    print(f"CUDA: measuring {', '.join(names) or 'nothing: all tables are of these sources'}")
    with concurrent.futures.ThreadPoolExecutor(max(1, (os.cpu_count() or 1))) as pool:
        jobs = {
            name: [
                pool.submit(measure, named[name], architecture) for architecture in ARCHITECTURES
            ]
            for name in names
        }
        for name, parts in jobs.items():
            write(named[name], [row for part in parts for row in part.result()])
            print(f"  {name}", flush=True)
    for path in set(TABLES.glob("*.csv")) - {table_of(line) for line in named.values()}:
        path.unlink()  # of a line that is no more
    return _spills()


def _spills() -> int:
    """Says what the tables hold; 1 if a kernel spills."""
    found = read()
    worst = max(found, key=lambda row: int(row["registers"]))
    spills = [row for row in found if row["spilled_bytes"] != "0"]
    print(
        f"{len(found)} rows; most registers {worst['registers']} ({worst['kernel']}, "
        f"{worst['architecture']}); {len(spills)} spill"
    )
    for row in spills:
        print(f"SPILL {row['kernel']} {row['architecture']}: {row['spilled_bytes']} bytes")
    return 1 if spills else 0
