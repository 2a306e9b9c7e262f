"""README.md and Makefile of a folder."""

from __future__ import annotations

from pathlib import Path

from ..network import Network
from . import circuits
from .sizes import PHASES, LayerSizes
from .vectors import Expected

_SYNTH = "synth_xilinx -family xc7 -noiopad -noclkbuf -nobram"


def clocks(layer: LayerSizes, style: str, spikes: int | None = None) -> int:
    """From one accepted frame to the next; ``spikes``: of the inputs, for events."""
    if style == "events":
        return (layer.inputs if spikes is None else spikes) + PHASES + 6
    return layer.words + PHASES + (4 if layer.lanes == 1 else 5)


def makefile(folder: Path) -> str:
    """Of a folder with all of its sources."""
    circuit = circuits.of(folder)
    parts = circuit.order(folder)
    benches = [name for name in ("tb", "tb_axi_stream") if (folder / f"{name}.vhd").exists()]
    rules = "".join(
        f"""
.PHONY: {bench}
{bench}: work/analysed
	ghdl --elab-run $(STD) {bench} --ieee-asserts=disable-at-0 --max-stack-alloc=0
"""
        for bench in benches
    )
    return f"""\
# make          simulates: every state of every {circuit.unit} is compared with the golden model
# make synth    LUTs and registers for Xilinx 7 series, by ghdl and yosys: a minute to an hour
STD     = --std=08 --workdir=work
SOURCES = {" ".join(f"{name}.vhd" for name in parts)}
BENCH   = {" ".join(f"{name}.vhd" for name in (*circuits.BENCH, *benches))}

.PHONY: all synth clean
all: {" ".join(benches)}

work/analysed: $(SOURCES) $(BENCH)
	mkdir -p work
	ghdl -a $(STD) $(SOURCES) $(BENCH)
	touch $@
{rules}
synth: work/analysed
	ghdl --synth $(STD) --out=verilog {circuit.top} > work/{circuit.top}.v
	yosys -p "read_verilog work/{circuit.top}.v; {_SYNTH} -top {circuit.top}; stat"

clean:
	rm -rf work
"""


def readme(
    network: Network,
    sizes: tuple[LayerSizes, ...],
    style: str,
    expected: Expected,
    *,
    axi_stream: bool,
) -> str:
    shape = "-".join(str(n) for n in (network.inputs, *(layer.neurons for layer in sizes)))
    rows = "\n".join(
        f"| {number} | {layer.inputs} | {layer.neurons} | {layer.weight_bits} | "
        f"{layer.current_bits} | {layer.words} x {layer.word_bits} | "
        f"{_clocks(layer, style)} |"
        for number, layer in enumerate(sizes)
    )
    neurons = sum(layer.neurons for layer in sizes)
    registers = sum(
        layer.neurons * (layer.current_bits + 57 + layer.lanes * layer.weight_bits)
        + layer.inputs
        + (layer.neurons * layer.addend_bits if layer.lanes > 1 else 0)
        for layer in sizes
    )
    wrapper = (
        "\n`src_axi_stream` puts it between two AXI4-Streams of 32 bits: a frame is "
        f"{-(-network.inputs // 32)} beats, input 0 in bit 0\nof the first, `tlast` with the last "
        "beat of a sequence; a result is eleven beats, the class and\nthe ten accumulators. The "
        "next frame is taken in while the network works on the one before.\n"
        if axi_stream
        else ""
    )
    return f"""\
# {shape} spiking recurrent cells, style `{style}`

A network of spiking recurrent cells (SRC) in integers, as VHDL-2008 without anything of a vendor.
Written by `lrnn_kernels.fixed_point.write_vhdl`; the same integers as
`lrnn_kernels.fixed_point.Network`, bit for bit.

    make            # simulates with GHDL: ends with PASS, or with what differs
    make synth      # LUTs and registers by ghdl and yosys

The test bench sends {expected.frames} frames in {expected.results} sequences, and compares \
{expected.values} values: I, h, h_s and spike of every
neuron in every step, every accumulator after every frame, and {expected.results} classes.

## Files

| file | what it is |
|---|---|
| `src_network.vhd` | top: layers, memories and read-out, connected |
| `src_axi_stream.vhd` | the same between two AXI4-Streams, where it was asked for |
| `network_package.vhd` | sizes of this network |
| `weights_N.vhd`, `.mem` | weights of layer N, as constants, and for $readmemh |
| `src_package.vhd`, `bits_package.vhd` | widths and functions that all share |
| `src_layer.vhd` | a layer: frame register, control, neurons |
| `src_neuron.vhd` | a neuron, with its equations |
| `walk_all.vhd`, `walk_events.vhd` | which inputs are visited in a clock |
| `masked_sum.vhd` | the adder tree of style parallel8 |
| `src_read_out.vhd` | ten accumulators, and the first largest |
| `src_limits.vhd` | for simulation alone: overflows |
| `tb*.vhd`, `data/` | test benches, and what the golden model said |

## Ports of `src_network`

| port | direction | bits | |
|---|---|---|---|
| `clk`, `rst` | in | 1 | rising edge; reset is synchronous |
| `frame_valid`, `frame_ready` | in, out | 1 | a frame is accepted where both are '1' |
| `frame_first`, `frame_last` | in | 1 | the first of a sequence starts at 0, the last ends it |
| `frame` | in | {network.inputs} | input spikes of one step, input 0 in bit 0 |
| `result_valid`, `result_ready` | out, in | 1 | a result is taken where both are '1' |
| `result_class` | out | 4 | the first largest accumulator |
| `votes` | out | 10 x {network.accumulator_bits} | the accumulators, signed, class 0 at the right |
| `counted` | out | 1 | votes hold a frame more |
| `watch`, `watch_valid` | out | | all states, for test benches; leave them open |
{wrapper}
## Latency

| layer | inputs | neurons | bits of a weight | of a current | memory | clocks a frame |
|---|---|---|---|---|---|---|
{rows}

Clocks from one accepted frame to the next. Layers work one after the other on a frame, and at the
same time on different ones, so that the slowest sets the pace. After the last layer the read-out
takes {-(-sizes[-1].neurons // 10) + 1} clocks a frame, beside the layers' work, and 10 more for the
class.

## Resources

{neurons} neurons of about 160 LUTs, and about {registers} registers with what the memories hold \
back; memories of
{sum(layer.words * layer.word_bits for layer in sizes)} bits in all, in LUTs of 64 bits each and \
what selects among them. `make synth` counts.
Nothing here was placed and routed: a clock frequency is for your tools to say.

Overflow: a current beyond +-30000, and an accumulator beyond its bits, are errors of the network.
Simulation stops with an assertion that names the first one, as the golden model does: layer,
neuron, step and sequence. Hardware does not notice.
"""


def _clocks(layer: LayerSizes, style: str) -> str:
    if style == "events":
        return f"{clocks(layer, style, 0)} + inputs that spike, at most {clocks(layer, style)}"
    return str(clocks(layer, style))
