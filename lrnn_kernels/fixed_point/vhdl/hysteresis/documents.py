"""README.md of a folder."""

from __future__ import annotations

from ...hysteresis import HysteresisNetwork
from ..vectors import Expected
from .sizes import SumSizes, result_bits


def clocks(layer: SumSizes, style: str, nonzero: int | None = None, *, is_read_out=False) -> int:
    """From one accepted frame to the next; ``nonzero``: how many inputs are, for events."""
    visits = layer.words
    if style == "events":
        visits = (layer.inputs if nonzero is None else nonzero) + 2
    return visits + 6 + (layer.neurons if is_read_out else 0)


def readme(
    network: HysteresisNetwork, sizes: tuple[SumSizes, ...], style: str, expected: Expected
) -> str:
    depth = len(network.layers)
    shape = "-".join(str(n) for n in (network.inputs, *(layer.neurons for layer in sizes)))
    rows = "\n".join(
        f"| {number if number < depth else 'read-out'} | {layer.inputs} of {layer.input_bits} | "
        f"{layer.neurons} | {layer.weight_bits} | {layer.sum_bits} | "
        f"{layer.words} x {layer.word_bits} | {_clocks(layer, style, number == depth)} |"
        for number, layer in enumerate(sizes)
    )
    units = sum(layer.neurons for layer in sizes[:depth])
    if network.read_out is None:
        result = "states of the last layer, unit 0 in bit 0"
    else:
        last = sizes[-1]
        result = (
            f"sums of {last.neurons} classes, signed, {last.sum_bits} bits each, class 0 at the "
            "right; above them the class of the first largest"
        )
    return f"""\
# {shape} first-quadrant BMRUs, style `{style}`

A network of first-quadrant bistable memory recurrent units (FQ-BMRU) in integers, as VHDL-2008
without anything of a vendor. Written by `lrnn_kernels.fixed_point.write_vhdl`; the same integers as
`lrnn_kernels.fixed_point.HysteresisNetwork`, bit for bit. In every step, for every unit:

    u     = max(sum over inputs of W x + b, 0)
    state = 1 if u >= high, else 0 if u <= low, else as before

    make            # simulates with GHDL: ends with PASS, or with what differs
    make synth      # LUTs and registers by ghdl and yosys

The test bench sends {expected.frames} frames, and compares {expected.values} values, u and \
the state of every
unit in every step, and {expected.results} results.

## Files

| file | what it is |
|---|---|
| `hysteresis_network.vhd` | top: layers, memories and read-out, connected; biases and thresholds |
| `network_package.vhd` | sizes of this network |
| `weights_N.vhd`, `.mem` | weights of layer N, and of the read-out last, as constants, and for \
$readmemh |
| `hysteresis_layer.vhd` | a layer: sums, and units |
| `hysteresis_unit.vhd` | a unit, with its equations |
| `hysteresis_read_out.vhd` | sums and the first largest, where the network has a read-out |
| `weighted_sums.vhd` | frame register, control, and what adds weights times inputs up |
| `masked_sum.vhd` | its adder tree |
| `walk_all.vhd`, `walk_events.vhd` | which inputs are visited in a clock |
| `bits_package.vhd` | functions of widths and bits |
| `tb*.vhd`, `data/` | test bench, and what the golden model said |

## Ports of `hysteresis_network`

| port | direction | bits | |
|---|---|---|---|
| `clk`, `rst` | in | 1 | rising edge; reset is synchronous |
| `frame_valid`, `frame_ready` | in, out | 1 | a frame is accepted where both are '1' |
| `frame_first`, `frame_last` | in | 1 | the first and the last step of a sequence |
| `frame` | in | {network.inputs} x {network.input_bits} | inputs of a step, unsigned, input 0 at \
the right |
| `result_valid`, `result_ready` | out, in | 1 | a result is taken where both are '1' |
| `result_last` | out | 1 | it is that of a last step |
| `result` | out | {result_bits(network, sizes)} | {result} |
| `watch`, `watch_valid` | out | | all states, for test benches; leave them open |

## Latency

| layer | inputs, bits | units | bits of a weight | of a sum | memory | clocks a frame |
|---|---|---|---|---|---|---|
{rows}

Clocks from one accepted frame to the next. Layers work one after the other on a frame, and at the
same time on different ones, so that the slowest sets the pace.

## Resources

{units} units, each an adder, two comparators and a bit of state beside its sum; memories of
{sum(layer.words * layer.word_bits for layer in sizes)} bits in all, in LUTs of 64 bits each and \
what selects among them. There is no
multiplier: products are sums of shifted weights. `make synth` counts. Nothing here was placed and
routed: a clock frequency is for your tools to say.

Nothing overflows: a sum has the bits that hold it whatever the inputs are, and every sum on the way
to it.
"""


def _clocks(layer: SumSizes, style: str, is_read_out: bool) -> str:
    most = clocks(layer, style, is_read_out=is_read_out)
    if style == "events":
        fixed = clocks(layer, style, 0, is_read_out=is_read_out)
        return f"{fixed} + inputs that are not 0, at most {most}"
    return str(most)
