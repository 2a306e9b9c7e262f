"""What the spiking network costs as a circuit: clocks, LUTs, registers, and how long its paths are;
and that it computes, bit for bit, what the golden model does."""

from __future__ import annotations

import functools
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np

from lrnn_kernels import fixed_point
from lrnn_kernels.fixed_point.vhdl import documents, sizes

from . import netlists
from .claim import Claim, Plain

#: Trained weights, and how often how many of 784 inputs spike in a frame of the 10,000 test digits:
#: what ``python -m benchmarks.claims src-mnist`` writes.
WEIGHTS = Path(__file__).parents[1] / "results" / "src-mnist-weights.npz"

FRAMES = {256: 220, 16: 55, 8: 44}
NEURONS = 100
MHZ = 100  # assumed: nothing is placed and routed
PUBLISHED_MS = 1.7424  # of 220 frames of 792 clocks
AVAILABLE = {"luts": 134_600, "registers": 269_200}  # of an XC7A200T

#: Digits that are simulated: GHDL takes a second for each where only events are visited.
SIMULATED = {"serial": 2, "parallel8": 4, "events": 100}


def settings(quick: bool) -> list[Plain]:
    levels = (8,) if quick else tuple(FRAMES)
    styles = ("events",) if quick else sizes.STYLES
    memories = ("events",) if quick else ("serial", "parallel8")  # that of events is serial's
    return [
        *({"part": "simulation", "style": s, "levels": 8, "digits": SIMULATED[s]} for s in styles),
        *({"part": "logic", "style": s, "levels": b} for b in levels for s in styles),
        *(
            {"part": "memory", "style": s, "levels": b, "columns": 2 if quick else NEURONS}
            for b in levels
            for s in memories
        ),
    ]


def run(setting: Plain, _seed: int, _state: Path) -> Plain:
    """A simulation of the whole network, or the synthesis of its memory, or of the rest."""
    if missing := netlists.missing():
        raise RuntimeError(f"{missing}: apt-get install ghdl yosys")
    style, levels = setting["style"], setting["levels"]
    weights = _trained()[f"weights_{levels}"]
    with tempfile.TemporaryDirectory() as folder:
        write = functools.partial(
            fixed_point.write_vhdl, folder, style=style, axi_stream=False, backend="reference"
        )
        if setting["part"] == "simulation":
            write(fixed_point.Network([weights]), stimulus=_digits(setting["digits"], levels))
            done = fixed_point.verify_vhdl(folder)
            return {
                "frames": done.frames,
                "values": done.values,
                "clocks_a_frame": done.clocks_a_frame,
                "longest": done.longest,
            }
        begun = time.perf_counter()
        silence = fixed_point.Traces.pack(np.zeros((1, 1, weights.shape[1]), np.bool_))
        if setting["part"] == "memory":
            write(fixed_point.Network([weights[: setting["columns"]]]), stimulus=silence)
            found = netlists.synthesize(Path(folder), "weights_0")
        else:
            write(fixed_point.Network([weights]), stimulus=silence)
            found = netlists.synthesize(Path(folder), "src_network", without=("weights_0",))
    return {**found, "seconds": round(time.perf_counter() - begun, 1)}


@functools.cache
def _trained() -> dict[str, np.ndarray]:
    with np.load(WEIGHTS) as arrays:
        return dict(arrays)


def _digits(count: int, levels: int) -> fixed_point.Traces:
    """scikit-learn's digits at the size of MNIST's: 8 x 8 pixels become 24 x 24, with a margin."""
    from sklearn.datasets import load_digits

    images = load_digits().images[:count].repeat(3, 1).repeat(3, 2) / 16
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2))).reshape(len(images), -1)
    return fixed_point.traces(padded, FRAMES[levels], backend="reference")


def cost(style: str, levels: int) -> Plain:
    """Clocks and milliseconds of MNIST's test digits, and the activity that drives energy."""
    trained = _trained()
    weights, histogram = trained[f"weights_{levels}"], trained[f"spikes_{levels}"]
    layer = sizes.layer_sizes(weights, style)
    spikes = np.arange(len(histogram))
    mean = float((histogram * spikes).sum() / histogram.sum())
    most = int(np.flatnonzero(histogram).max())
    fixed = documents.clocks(layer, style, 0)
    events = style == "events"
    clocks = fixed + mean if events else fixed
    return {
        "bits": layer.weight_bits,
        "clocks": clocks,
        "most": fixed + most if events else fixed,
        "bound": documents.clocks(layer, style),
        "ms": clocks * FRAMES[levels] / (1000 * MHZ),
        "accuracy": float(trained[f"accuracy_{levels}"]),
        "additions": mean * len(weights),
        "words": mean if events else layer.words,
        "toggles": _toggles(style, levels),
    }


@functools.cache
def _toggles(style: str, levels: int) -> float:
    """Bits of the memory's output that change in a frame, on ten digits."""
    weights = _trained()[f"weights_{levels}"]
    layer = sizes.layer_sizes(weights, style)
    wide = sizes.lanes_of(weights, layer.lanes).transpose(1, 0, 2).reshape(layer.words, -1)
    bits = (wide[..., None] >> np.arange(layer.weight_bits) & 1).astype(np.uint8)
    bits = bits.reshape(layer.words, -1)
    if style != "events":  # from the last word round to the first
        return float((bits != np.roll(bits, 1, 0)).sum())
    spikes = _digits(10, levels).unpack()
    visited = np.nonzero(spikes.reshape(-1, spikes.shape[2]))[1]
    changed = sum(int((bits[a] != bits[b]).sum()) for a, b in itertools.pairwise(visited))
    return changed / (spikes.shape[0] * spikes.shape[1])


def _rows(found: list[Plain]) -> list[Plain]:
    """For each style and width both parts together, and what simulation said of the style."""
    memories = {(r["style"], r["levels"]): r for r in found if r["part"] == "memory"}
    simulated = {r["style"]: r for r in found if r["part"] == "simulation"}
    rows = []
    for logic in (r for r in found if r["part"] == "logic"):
        style, levels = logic["style"], logic["levels"]
        memory = memories.get((style, levels)) or memories["serial", levels]
        total = {
            kind: logic["total"].get(kind, 0) + memory["total"].get(kind, 0)
            for kind in ("luts", "registers", "carries", "muxes")
        }
        crossing = [a + b for a, b in zip(logic["path_to_left_out"], memory["path"], strict=True)]
        rows.append(
            {
                "style": style,
                "levels": levels,
                **cost(style, levels),
                **total,
                "memory": memory["total"]["luts"],
                "neuron": logic["modules"]["src_neuron"]["luts"],
                "lut_levels": max(logic["path"][0], crossing[0]),
                "cell_levels": max(logic["path"][1], crossing[1]),
                "fits": all(total[kind] <= most for kind, most in AVAILABLE.items()),
                "simulated": simulated.get(style),
            }
        )
    return rows


def table(found: list[Plain]) -> list[list[str]]:
    return [
        [
            f"{row['style']}, B = {row['levels']}",
            f"{row['bits']}",
            f"{100 * row['accuracy']:.2f} %",
            f"{row['clocks']:.1f} ({row['most']}, {row['bound']})",
            f"{row['ms']:.4f}",
            f"{row['luts']:,}",
            f"{row['memory']:,}",
            f"{row['neuron']}",
            f"{row['registers']:,}",
            f"{row['carries']:,}",
            f"{row['lut_levels']} ({row['cell_levels']})",
            "yes" if row["fits"] else "no",
            f"{row['additions']:,.0f} / {row['words']:.0f} / {row['toggles']:,.0f}",
            f"{row['simulated']['values']:,}" if row["simulated"] else "",
        ]
        for row in _rows(found)
    ]


def plot(figure, found: list[Plain]) -> None:
    rows = _rows(found)
    left, right = figure.subplots(1, 2)
    names = [f"{row['style']}\nB = {row['levels']}" for row in rows]
    memory = [row["memory"] for row in rows]
    left.bar(names, memory, label="weights")
    left.bar(names, [row["luts"] - row["memory"] for row in rows], bottom=memory, label="the rest")
    left.set_ylabel("LUTs")
    left.legend()
    right.bar(names, [row["ms"] for row in rows])
    right.axhline(PUBLISHED_MS, color="0.5", ls=":", label=f"published: {PUBLISHED_MS} ms")
    right.set_yscale("log")
    right.set_ylabel(f"ms a digit at {MHZ} MHz, assumed")
    right.legend()
    for axes in (left, right):
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(alpha=0.3, axis="y")


CLAIM = Claim(
    name="fpga",
    says="784-100 spiking cells and the read-out as VHDL, in cells of Xilinx 7 series by GHDL and "
    "yosys, not placed and routed: 100 MHz is an assumption, XC7A200T the part asked whether it "
    "fits. Weights stand in the narrowest two's complement that holds the matrix. Clocks a frame "
    "are the mean over MNIST's 10,000 test digits (the most that occurred, the most possible); 220 "
    "frames a digit for B = 256, 55 for 16, 44 for 8; the paper takes 1.7424 ms for 220 frames, "
    "and reports 96.31, 93.32 and 92.89 %. LUTs are of all and of the weight memory; a neuron is "
    "without it. Levels are LUTs on the longest path (with carry cells and multiplexers). Activity "
    "a frame, a proxy for energy and no measurement: additions to currents, words of weights read, "
    "and bits of them that change. Equal: values that a simulation compared with the golden model, "
    "I, h, h_s, spike and votes, on scikit-learn's digits, for B = 8.",
    settings=settings,
    run=run,
    header=(
        "circuit",
        "bits",
        "accuracy",
        "clocks a frame",
        "ms a digit",
        "LUTs",
        "of weights",
        "a neuron",
        "registers",
        "CARRY4",
        "levels",
        "fits",
        "activity",
        "equal",
    ),
    table=table,
    plot=plot,
    seeds=1,
)
