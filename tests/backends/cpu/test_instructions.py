"""How many instructions the CPU kernels run: a guard against slower code that needs no stopwatch.

Counted of the code that this machine runs, on the best instruction set that there are tables of.
"""

import platform

import pytest
import torch

from benchmarks.resources import cpu
from lrnn_kernels.backends.build import toolchain

LINES = {line.name: line for line in cpu.lines()}
MISSING = cpu.missing()
counts = pytest.mark.skipif(MISSING is not None, reason=f"{MISSING}")
ISA = None if MISSING else cpu.runnable()[-1]


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"),
    reason="this machine's processors have one instruction set only",
)
def test_the_best_instruction_set_is_the_processors():
    """As torch finds it, by other means: what is not found is neither compiled nor tested."""
    known = list(toolchain.X86_ISAS)
    least = {"AVX2": "avx2", "AVX512": "avx512"}.get(torch.backends.cpu.get_cpu_capability())
    assert known.index(toolchain.host_isa()) >= (0 if least is None else known.index(least))
    assert cpu.runnable() or least is None


@counts
def test_every_instruction_is_counted_once():
    count = cpu.library(ISA).lrnn_loop_instructions
    few, many = count(10), count(1010)
    assert 30 <= few < 60
    assert many - few == 3 * 1000


@counts
@pytest.mark.parametrize("name", LINES)
def test_a_kernel_runs_as_many_instructions_as_its_table_says(name):
    told = cpu.differences(LINES[name], ISA, cpu.measure(LINES[name], ISA))
    assert told == [], (
        "\n".join(told) + f"\nIf this is meant: python -m benchmarks.resources {name} --backend cpu"
    )


@counts
def test_a_count_is_the_same_whatever_a_process_has_allocated(monkeypatch):
    """backward_again allocates; malloc runs fewer or more instructions by what it finds free."""
    monkeypatch.setattr(cpu, "PASSES", cpu.PASSES[:4])
    before = cpu.measure(LINES["src"], ISA)
    assert "backward_again" in {row["pass"] for row in before}
    held = [bytearray(100 + 977 * i % 100_000) for i in range(3000)]
    del held[::2]
    assert cpu.measure(LINES["src"], ISA) == before


@pytest.mark.parametrize("name", LINES)
def test_a_table_is_of_every_instruction_set(name):
    """That this machine runs: a new line's may have been written on one like it."""
    table = cpu.read(LINES[name])
    assert set(table.compilers) == {row["isa"] for row in table.rows}
    assert set(cpu.runnable()) <= set(table.compilers) <= set(cpu.ISAS)


def changed(factor: float, isa: str = cpu.ISAS[0]) -> list[dict[str, str]]:
    """The rows of a table, one of them multiplied."""
    first, *rest = (row for row in cpu.read(LINES["fq_bmru"]).rows if row["isa"] == isa)
    return [first | {"instructions": f"{factor * float(first['instructions']):.3f}"}, *rest]


@pytest.mark.parametrize(
    ("factor", "here", "elsewhere"), [(1, 0, 0), (1.05, 1, 0), (0.9, 1, 0), (1.6, 1, 1)]
)
def test_growth_is_told_and_what_has_shrunk(monkeypatch, factor, here, elsewhere):
    line, isa = LINES["fq_bmru"], cpu.ISAS[0]
    monkeypatch.setattr(cpu, "compiler", lambda: cpu.read(line).compilers[isa])
    assert len(cpu.differences(line, isa, changed(factor))) == here
    monkeypatch.setattr(cpu, "compiler", lambda: "another")
    told = cpu.differences(line, isa, changed(factor))
    assert len(told) == elsewhere
    assert all("forward float32 C=16" in text and "+60%" in text for text in told)


def test_a_kernel_without_a_row_is_told():
    line, isa = LINES["fq_bmru"], cpu.ISAS[0]
    rows = changed(1)
    (told,) = cpu.differences(line, isa, rows[1:])
    assert "only in the table" in told
    (told,) = cpu.differences(line, isa, [*rows, rows[0] | {"channels": "7"}])
    assert "only in the code" in told
