"""The files that differ from network to network: sizes, parameters, how layers are connected."""

from __future__ import annotations

import textwrap
from itertools import accumulate

import numpy as np

from ...hysteresis import HysteresisLayer, HysteresisNetwork
from ..generated import HEADER, aggregate
from ..sizes import counting_bits
from .sizes import SumSizes, layers_of, result_bits


def network_package(network: HysteresisNetwork, sizes: tuple[SumSizes, ...]) -> str:
    """network_package.vhd: what the test bench must know."""
    units = sizes[: len(network.layers)]
    offsets = [0, *accumulate(layer.watch_bits for layer in units)]
    return f"""\
-- The sizes of this network: {network!r}.
package network_package is

  constant FRAME_BITS  : positive := {network.inputs * network.input_bits};  -- \
{network.inputs} inputs of {network.input_bits}
  constant LAYERS      : positive := {len(units)};
  constant RESULT_BITS : positive := {result_bits(network, sizes)};

  type per_layer_t is array (0 to LAYERS - 1) of positive;
  constant UNITS_OF    : per_layer_t := {aggregate([layer.neurons for layer in units])};
  constant SUM_BITS_OF : per_layer_t := {aggregate([layer.sum_bits for layer in units])};

  -- Of the port watch of hysteresis_network, layer l has the bits WATCH_FROM(l) to
  -- WATCH_FROM(l + 1) - 1.
  type bounds_t is array (0 to LAYERS) of natural;
  constant WATCH_FROM : bounds_t := {aggregate(offsets)};
  constant WATCH_BITS : positive := {offsets[-1]};

end package;
"""


def top(network: HysteresisNetwork, sizes: tuple[SumSizes, ...], style: str) -> str:
    """hysteresis_network.vhd: layers, memories and read-out, connected."""
    depth = len(network.layers)
    widths = [network.inputs * network.input_bits, *(s.neurons for s in sizes[:depth])]
    last = sizes[-1]
    parts = [_layer(number, sizes[number], style) for number in range(depth)]
    parts.append(_states_out(depth) if network.read_out is None else _read_out(depth, last, style))
    parameters = [_parameters(number, layer) for number, layer in enumerate(layers_of(network))]
    if network.read_out is None:
        result = f"the states of the last layer, unit 0 in bit 0: {last.neurons} bits"
    else:
        class_from = last.neurons * last.sum_bits
        result = (
            f"the sum of class c in bits {last.sum_bits} c and up, signed, and from bit "
            f"{class_from} on the class of the first largest"
        )
    return f"""\
-- The whole network, {"-".join(str(n) for n in [network.inputs, *(s.neurons for s in sizes)])}, \
style {style}: a layer works on one frame while the next
-- layer works on the one before.
{HEADER}use work.network_package.all;

entity hysteresis_network is
  port (
    clk          : in  std_logic;
    rst          : in  std_logic;  -- synchronous, '1' for a clock or more
    -- A frame is the inputs of one step, unsigned, input j in bits {network.input_bits} j and up.
    -- It is accepted in a clock in which frame_valid and frame_ready are both '1'.
    frame_valid  : in  std_logic;
    frame_ready  : out std_logic;
    frame_first  : in  std_logic;  -- first frame of a sequence: states start anew
    frame_last   : in  std_logic;  -- last frame of a sequence
    frame        : in  std_logic_vector(FRAME_BITS - 1 downto 0);
    -- A result for each frame, accepted in a clock in which valid and ready are both '1':
{textwrap.fill(result + ".", 96, initial_indent="    -- ", subsequent_indent="    -- ")}
    result_valid : out std_logic;
    result_ready : in  std_logic;
    result_last  : out std_logic;
    result       : out std_logic_vector(RESULT_BITS - 1 downto 0);
    -- For test benches; left open they cost nothing. All states of layer l, in the bits from
    -- WATCH_FROM(l) on, are valid in the clock of watch_valid(l); see hysteresis_layer.
    watch_valid  : out std_logic_vector(LAYERS - 1 downto 0);
    watch        : out std_logic_vector(WATCH_BITS - 1 downto 0)
  );
end entity;

architecture rtl of hysteresis_network is

{chr(10).join(parameters)}
{chr(10).join(_signals(number, width, depth) for number, width in enumerate(widths))}
{_read_out_signals(last) if network.read_out is not None else ""}  -- The weight memories.
{"".join(_memory_signals(number, layer) for number, layer in enumerate(sizes))}
begin

  valid_0     <= frame_valid;
  frame_ready <= ready_0;
  first_0     <= frame_first;
  last_0      <= frame_last;
  frame_0     <= frame;

{chr(10).join(parts)}
end architecture;
"""


def _parameters(number: int, layer: object) -> str:
    """The constants of a layer beside its weights."""
    text = _vector(f"BIASES_{number}", layer.bias)
    if isinstance(layer, HysteresisLayer):
        initial = "".join(str(int(x)) for x in layer.initial[::-1])
        text += _vector(f"LOWS_{number}", layer.low) + _vector(f"HIGHS_{number}", layer.high)
        text += (
            f"  constant STARTS_{number} : std_logic_vector({len(initial) - 1} downto 0) :=\n"
            f"{_bits(initial)};\n"
        )
    return text


def _vector(name: str, values: np.ndarray) -> str:
    """An aggregate by name, in lines that break between its elements."""
    elements = ", ".join(f"{k}_=>_{x}" for k, x in enumerate(values.tolist()))
    lines = textwrap.wrap(
        elements, 96, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )
    listed = "\n".join(lines).replace("_", " ")
    return f"  constant {name} : integer_vector(0 to {len(values) - 1}) := (\n{listed}\n  );\n"


def _bits(text: str) -> str:
    """A literal, in lines of 80 bits, the first of them at the left."""
    lines = [f'    "{text[at : at + 80]}"' for at in range(0, len(text), 80)]
    return " &\n".join(lines)


def _signals(number: int, width: int, depth: int) -> str:
    into = f"Frames into layer {number}." if number < depth else "Frames out of the last layer."
    return f"""\
  -- {into}
  signal valid_{number} : std_logic;
  signal ready_{number} : std_logic;
  signal first_{number} : std_logic;
  signal last_{number}  : std_logic;
  signal frame_{number} : std_logic_vector({width - 1} downto 0);
"""


def _read_out_signals(layer: SumSizes) -> str:
    return f"""\
  -- Out of the read-out.
  signal best : unsigned({counting_bits(layer.neurons) - 1} downto 0);
  signal sums : std_logic_vector({layer.neurons * layer.sum_bits - 1} downto 0);

"""


def _memory_signals(number: int, layer: SumSizes) -> str:
    return f"""\
  signal address_{number} : unsigned({counting_bits(layer.words) - 1} downto 0);
  signal word_{number}    : std_logic_vector({layer.word_bits - 1} downto 0);
"""


def _memory(number: int) -> str:
    return f"""\
  memory_{number} : entity work.weights_{number}
    port map (clk => clk, address => address_{number}, word => word_{number});
"""


def _layer(number: int, layer: SumSizes, style: str) -> str:
    return f"""\
  layer_{number} : entity work.hysteresis_layer
    generic map (
      INPUTS      => {layer.inputs},
      INPUT_BITS  => {layer.input_bits},
      WIDTH       => {layer.neurons},
      LANES       => {layer.lanes},
      EVENTS      => {"true" if style == "events" else "false"},
      WEIGHT_BITS => {layer.weight_bits},
      ADDEND_BITS => {layer.addend_bits},
      SUM_BITS    => {layer.sum_bits},
      BIASES      => BIASES_{number},
      LOWS        => LOWS_{number},
      HIGHS       => HIGHS_{number},
      STARTS      => STARTS_{number}
    )
    port map (
      clk         => clk,
      rst         => rst,
      in_valid    => valid_{number},
      in_ready    => ready_{number},
      in_first    => first_{number},
      in_last     => last_{number},
      in_frame    => frame_{number},
      out_valid   => valid_{number + 1},
      out_ready   => ready_{number + 1},
      out_first   => first_{number + 1},
      out_last    => last_{number + 1},
      out_states  => frame_{number + 1},
      rom_address => address_{number},
      rom_word    => word_{number},
      watch       => watch(WATCH_FROM({number} + 1) - 1 downto WATCH_FROM({number}))
    );

{_memory(number)}
  watch_valid({number}) <= valid_{number + 1} and ready_{number + 1};
"""


def _states_out(depth: int) -> str:
    return f"""\
  result_valid  <= valid_{depth};
  ready_{depth} <= result_ready;
  result_last   <= last_{depth};
  result        <= frame_{depth};
"""


def _read_out(depth: int, layer: SumSizes, style: str) -> str:
    classes = layer.neurons
    return f"""\
  read_out : entity work.hysteresis_read_out
    generic map (
      INPUTS      => {layer.inputs},
      CLASSES     => {classes},
      LANES       => {layer.lanes},
      EVENTS      => {"true" if style == "events" else "false"},
      WEIGHT_BITS => {layer.weight_bits},
      ADDEND_BITS => {layer.addend_bits},
      SUM_BITS    => {layer.sum_bits},
      BIASES      => BIASES_{depth}
    )
    port map (
      clk         => clk,
      rst         => rst,
      in_valid    => valid_{depth},
      in_ready    => ready_{depth},
      in_first    => first_{depth},
      in_last     => last_{depth},
      in_states   => frame_{depth},
      out_valid   => result_valid,
      out_ready   => result_ready,
      out_last    => result_last,
      out_class   => best,
      out_values  => sums,
      rom_address => address_{depth},
      rom_word    => word_{depth}
    );

{_memory(depth)}
  result <= std_logic_vector(best) & sums;
"""
