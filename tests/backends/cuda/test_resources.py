"""What the CUDA kernels take of a GPU: the checked-in tables are of these sources, and nothing in
them spills.

All of it takes minutes to compile (python -m benchmarks.resources); here one cell and the neurons
are compiled and compared.
"""

import re
import shutil

import pytest

from benchmarks.gpu import model
from benchmarks.measure.traffic import OPS
from benchmarks.resources import cuda
from lrnn_kernels.backends.build import libraries, toolchain
from lrnn_kernels.cells import CELLS, KERNELS

needs_nvcc = pytest.mark.skipif(toolchain.find_nvcc() is None, reason="there is no nvcc")
LISTED = {cell.name: cell for cell in libraries.cells()}
LINES = {line.name: line for line in cuda.lines()}
NEURONS = libraries.neurons()
ROWS = cuda.read()
SAMPLE = LISTED["fq_bmru"]


@pytest.mark.parametrize("line", LINES)
def test_the_table_is_of_these_sources(line):
    if not toolchain.find_nvcc() and not cuda.digest_of(LINES[line]):
        pytest.skip("a new line, and there is no nvcc to measure it")
    assert cuda.source_hash(LINES[line]) == cuda.digest_of(LINES[line]), (
        f"run python -m benchmarks.resources {line}"
    )


#: Storage and carry, and how many numbers a 16-byte access of the one and of the other moves.
STORAGES = {
    "float, float": (4, 4),
    "double, double": (2, 2),
    "__nv_bfloat16, float": (8, 4),
    "__half, float": (8, 4),
}


def test_every_kernel_is_in_the_table_for_every_architecture():
    listed = {
        engine: [c for c in LISTED.values() if c.engine == engine and cuda.digest_of(c)]
        for engine in ("affine", "step", "matrix")
    }
    expected = set()
    for storage, (of_storage, of_carry) in STORAGES.items():
        passes = [
            ("Forward", "Backward", c.struct.replace("Alpha::", "")) for c in listed["affine"]
        ]
        for forward, backward, cell in [
            *passes,
            ("LatchForward", "LatchBackward", "Hysteresis<kPerChannel>"),
        ]:
            ways = [f"{way}, {cell}, Real<{storage}, {of_storage}>" for way in (forward, backward)]
            expected |= {f"{kernel}<{way}>" for kernel in ("affine", "summarize") for way in ways}
        expected.add(f"write_maps<Real<{storage}, {of_storage}>>")
        for c in listed["step"]:
            kernels = [
                "step_forward",
                "step_backward",
                *(["step_backward_again"] if KERNELS[c.name].checkpoints else []),
            ]
            expected |= {
                f"{kernel}<{c.struct}, Real<{storage}, {width}>>"
                for kernel in kernels
                for width in (1, of_carry)
            }
            expected |= {
                f"{kernel}<{c.struct}, Real<{storage}, 1>>"
                for kernel in ("step_summarize", "step_backward_chunks")
            }
        expected |= {
            f"matrix_{way}<{c.struct}, {storage}, {width}>"
            for c in listed["matrix"]
            for way in ("forward", "backward")
            for width in (32, 64, 128, 256)
        }
    expected |= {
        f"population<{n.struct}, {of}, {drive}>"
        for n in NEURONS
        for of in ("float, Standard", "double, Standard", "double, Written")
        for drive in ("constant", "waveform", "noise")
    }
    for architecture in cuda.ARCHITECTURES:
        assert expected <= {row["kernel"] for row in ROWS if row["architecture"] == architecture}


def test_nothing_spills():
    assert [row for row in ROWS if row["spilled_bytes"] != "0"] == []


def test_blocks_can_run():
    """256 threads of 255 registers are a block's share of a multiprocessor; 48 KiB is what it
    may share without asking."""
    assert max(int(row["registers"]) for row in ROWS) <= 255
    assert max(int(row["shared_bytes"]) for row in ROWS) <= 48 << 10


def test_neurons_leave_room_for_as_many_threads_as_are_planned_for():
    """1024 in float (512 in double) share a multiprocessor's 65,536 registers; where noise has
    states of its own, 768. What blocks share is in shared memory, of which all of them have 64
    KiB at the least."""
    neurons = [row for row in ROWS if row["kernel"].startswith("population")]
    assert len(neurons) == 9 * len(NEURONS) * len(cuda.ARCHITECTURES)
    for row in neurons:
        threads = 512 if "double" in row["kernel"] else 768 if "noise" in row["kernel"] else 1024
        assert threads * int(row["registers"]) <= 65536, row
        assert threads // 32 * int(row["shared_bytes"]) <= 64 << 10, row


def test_streams_are_accessed_by_16_bytes():
    """But for lanes of one channel, of which a warp's accesses are side by side."""
    wide = [
        row
        for row in ROWS
        if row["kernel"].startswith(("affine", "summarize", "step"))
        and not row["kernel"].endswith(", 1>>")
    ]
    narrow_storage = [
        row
        for row in wide
        if row["kernel"].startswith("step")
        and re.search(r"_(?:half|bfloat16), float, 4>>$", row["kernel"])
    ]
    assert len(wide) > len(narrow_storage) > 0
    assert all(int(row["wide_accesses"]) > 0 for row in wide if row not in narrow_storage)
    # Four numbers of 16 bits are 8 bytes; what is saved of them in float32 is 16.
    assert all(int(row["wide_accesses"]) > 0 for row in narrow_storage if "Src" in row["kernel"])


def test_summaries_load_only_what_maps_need():
    """Of a tile before the loop and one in it, the streams that benchmarks/gpu/model.py counts;
    and a map, of 8 numbers, is stored."""
    counts = {row["kernel"]: int(row["wide_accesses"]) for row in ROWS}
    for op in (
        op
        for op in OPS.values()
        if not CELLS[op.cell].sequential
        and not op.complex
        and not op.bits
        and model.is_measured(op)
    ):
        streams = (
            2 * model.plans().lrnn_affine_tile(model.accesses(op, True), 4) * model.map_reads(op)
        )
        assert (
            counts[f"summarize<Backward, {model.structs()[op.kernel.name]}, Real<float, float, 4>>"]
            == streams + 2
        ), op.name


@needs_nvcc
@pytest.mark.parametrize("sample", [SAMPLE, *NEURONS], ids=lambda line: line.name)
def test_a_compilation_gives_what_the_table_says(sample):
    expected = {row["kernel"]: row for row in ROWS if row["architecture"] == "sm_90"}
    for row in cuda.measure(sample, "sm_90"):
        assert row["spilled_bytes"] == "0", row
        assert int(row["registers"]) <= 1.1 * int(expected[row["kernel"]]["registers"]), (
            row
        )  # another nvcc may differ a little
        assert row["shared_bytes"] == expected[row["kernel"]]["shared_bytes"]


@needs_nvcc
def test_a_spill_is_seen(tmp_path):
    """With launch bounds that leave 40 registers to a thread, the same kernels spill."""
    copy = shutil.copytree(cuda.CSRC, tmp_path / "csrc")
    engine = copy / "cuda" / "engines" / "affine.cuh"
    bounds = "__launch_bounds__(kGpuThreads, 1)"
    assert bounds in engine.read_text()
    engine.write_text(engine.read_text().replace(bounds, "__launch_bounds__(kGpuThreads, 6)"))
    assert any(row["spilled_bytes"] != "0" for row in cuda.measure(SAMPLE, "sm_90", copy))


@needs_nvcc
def test_a_spill_of_a_neuron_is_seen(tmp_path):
    copy = shutil.copytree(cuda.CSRC, tmp_path / "csrc")
    engine = copy / "cuda" / "engines" / "population.cuh"
    bounds = "__launch_bounds__(kPopulationBlock, (kBlocksAtATime<R, kDrive>))"
    assert bounds in engine.read_text()
    engine.write_text(engine.read_text().replace(bounds, "__launch_bounds__(kPopulationBlock, 12)"))
    stg = NEURONS[0]
    assert any(row["spilled_bytes"] != "0" for row in cuda.measure(stg, "sm_90", copy))
