"""The circuit beside the golden model: every state of every neuron or unit in every step."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..coding import Traces
from ..hysteresis import HysteresisNetwork
from ..network import Network
from . import cases, hysteresis, simulate, vectors
from .cases import Case
from .kinds import kind_of
from .simulate import Mismatch, Simulation
from .sizes import STYLES
from .writer import write_circuit

#: What both say of an overflow: which, in which step of which sequence, and the value.
_PLACE = r"step (\d+), (?:image|sequence) (\d+)"
_CURRENT = re.compile(rf"layer (\d+), neuron (\d+), {_PLACE}: I = (-?\d+) is beyond")
_ACCUMULATOR = re.compile(rf"accumulator of class (\d+), {_PLACE}: (-?\d+) (?:is|does)")


def verify_vhdl(
    directory: str | os.PathLike,
    network: Network | HysteresisNetwork | None = None,
    stimulus: Traces | np.ndarray | None = None,
    *,
    bench: str = "tb",
    stalls: bool = False,
    backend: str = "cpu",
) -> Simulation:
    """Simulates a folder that ``write_vhdl`` wrote with GHDL, and compares with the golden model:
    of a ``Network`` I, h, h_s and spike of every neuron in every step, all accumulators and
    classes; of a ``HysteresisNetwork`` u and the state of every unit in every step, and results.

    Args:
        network, stimulus: what the circuit is compared with, and what it is sent; by default what
            the folder holds, as the golden model computed it when it was written.
        bench: "tb", or "tb_axi_stream" through the wrapper, where there is one.
        stalls: pauses on both sides of the handshakes.

    Raises Mismatch, with the simulator's words, where a value differs or an assertion fails, or
    where less was compared than there is; RuntimeError if GHDL is missing.
    """
    folder = Path(directory)
    if (network is None) != (stimulus is None):
        raise ValueError(
            "network and stimulus must be given together, got "
            f"{'stimulus' if network is None else 'network'} alone"
        )
    if bench not in ("tb", "tb_axi_stream"):
        raise ValueError(f"bench must be 'tb' or 'tb_axi_stream', got {bench!r}")
    if not (folder / f"{bench}.vhd").exists():
        raise FileNotFoundError(f"directory must hold {bench}.vhd, got {folder}")
    if network is None:
        expected = vectors.expected(folder / "data")
        return _compared(simulate.run(folder, bench=bench, stalls=stalls), expected)
    with tempfile.TemporaryDirectory() as data:
        kind = kind_of(network)
        stimulus = kind.checked(network, stimulus, backend)
        expected = kind.write_vectors(Path(data), network, stimulus, backend=backend)
        done = simulate.run(folder, bench=bench, data=Path(data), stalls=stalls)
    return _compared(done, expected)


def verify_case(case: Case, style: str, folder: Path, *, bench="tb", stalls=False) -> str:
    """Writes a case as a circuit and verifies it; what was found, in a few words."""
    write_circuit(folder, case.network, style)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    if case.overflows:
        return _overflow(case, folder, data, bench)
    kind_of(case.network).write_vectors(data, case.network, case.stimulus, backend="reference")
    done = verify_vhdl(folder, bench=bench, stalls=stalls)
    return f"{done.values} values equal, {done.clocks_a_frame:.1f} clocks a frame"


def verify_all(styles: tuple[str, ...] = STYLES) -> Iterator[tuple[str, bool, str]]:
    """Every case in every style, the first of each circuit with stalls too, and through
    AXI4-Stream where it has that: name, whether it is right, and what was found."""
    for style in styles:
        for several in (cases.cases(), hysteresis.cases.cases()):
            for number, case in enumerate(several):
                wrapper = kind_of(case.network).CIRCUIT.wrapper
                runs = [("tb", False)] + [("tb", True)] * (number == 0)
                if number == 0 and wrapper:
                    runs += [("tb_axi_stream", False), ("tb_axi_stream", True)]
                for bench, stalls in runs:
                    yield _verified(case, style, bench, stalls)


def _verified(case: Case, style: str, bench: str, stalls: bool) -> tuple[str, bool, str]:
    name = f"{style}: {case.name}{', AXI4-Stream' if bench != 'tb' else ''}"
    name += ", stalled" if stalls else ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return name, True, verify_case(case, style, Path(folder), bench=bench, stalls=stalls)
        except Mismatch as error:
            return name, False, str(error)


def _compared(done: Simulation, expected: vectors.Expected) -> Simulation:
    """A test bench that compares less than there is would prove less than it says."""
    if (done.frames, done.values, done.results) != expected:
        raise Mismatch(f"the test bench compared {done}, expected {expected}")
    return done


def _overflow(case: Case, folder: Path, data: Path, bench: str) -> str:
    """Simulation must stop where the golden model raises, and say the same of it."""
    try:
        case.network.run(case.stimulus, backend="reference")
    except OverflowError as error:
        golden = _said(str(error))
    else:
        raise AssertionError(f"{case.name}: the golden model does not overflow")
    vectors.write_beyond(data, case.network, case.stimulus)
    try:
        simulate.run(folder, bench=bench)
    except Mismatch as error:
        found = _said(str(error)) if "overflow: " in str(error) else None
        if found != golden:
            raise Mismatch(f"expected overflow {golden}, got {found}: {error}") from error
        return f"overflow noticed: {golden}"
    raise Mismatch(f"the golden model overflows, {golden}; the circuit does not notice")


def _said(message: str) -> tuple[str, ...] | None:
    """Which current or accumulator, the step and the sequence, and the value."""
    found = _CURRENT.search(message) or _ACCUMULATOR.search(message)
    return found.groups() if found else None
