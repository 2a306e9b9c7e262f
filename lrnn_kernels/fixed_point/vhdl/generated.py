"""The files that differ from network to network: sizes, weights, and how layers are connected."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from ..network import Network
from .sizes import LayerSizes, MemorySizes, counting_bits, lanes_of

HEADER = """\
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
"""


def network_package(network: Network, sizes: tuple[LayerSizes, ...]) -> str:
    """network_package.vhd: what wrapper and test benches must know."""
    offsets = [0, *accumulate(layer.watch_bits for layer in sizes)]
    return f"""\
-- The sizes of this network: {network!r}.
package network_package is

  constant INPUTS           : positive := {network.inputs};
  constant LAYERS           : positive := {len(sizes)};
  constant ACCUMULATOR_BITS : positive := {network.accumulator_bits};

  type per_layer_t is array (0 to LAYERS - 1) of positive;
  constant NEURONS_OF      : per_layer_t := {aggregate([layer.neurons for layer in sizes])};
  constant CURRENT_BITS_OF : per_layer_t := {aggregate([layer.current_bits for layer in sizes])};

  -- Of the port watch of src_network, layer l has the bits WATCH_FROM(l) to WATCH_FROM(l + 1) - 1.
  type bounds_t is array (0 to LAYERS) of natural;
  constant WATCH_FROM : bounds_t := {aggregate(offsets)};
  constant WATCH_BITS : positive := {offsets[-1]};

end package;
"""


def memory(number: int, weights: np.ndarray, layer: MemorySizes, unit: str) -> dict[str, str]:
    """Both files of a layer's weights, by their names; unit: what it has many of."""
    return {
        f"weights_{number}.vhd": weight_memory(number, weights, layer, unit),
        f"weights_{number}.mem": memory_file(number, weights, layer),
    }


def weight_memory(number: int, weights: np.ndarray, layer: MemorySizes, unit: str) -> str:
    """weights_N.vhd: the weights of a layer in LUTs."""
    words = packed(weights, layer)
    digits = -(-layer.word_bits // 4)
    low, high = int(weights.min()), int(weights.max())
    lines = [
        f'    {address} => {layer.word_bits}X"{word:0{digits}X}"'
        for address, word in enumerate(words)
    ]
    inputs = "input a" if layer.lanes == 1 else f"inputs {layer.lanes} a to {layer.lanes} a + 7"
    last_bit, last_word = layer.word_bits - 1, layer.words - 1
    fetched = "to_integer(address)" if layer.words > 1 else "0"  # GHDL makes no netlist of the one
    return f"""\
-- The weights of layer {number}: {layer.neurons} {unit}s of {layer.inputs} inputs.
-- {low} ... {high}, two's complement, {layer.weight_bits} bits each.
-- Word a holds the weights of {inputs} to all {unit}s, that of lane j to {unit} k
-- in bits ({layer.lanes} k + j) {layer.weight_bits} and up. It is there a clock after its address.
{HEADER}
entity weights_{number} is
  port (
    clk     : in  std_logic;
    address : in  unsigned({counting_bits(layer.words) - 1} downto 0);
    word    : out std_logic_vector({last_bit} downto 0)
  );
end entity;

architecture rtl of weights_{number} is

  type words_t is array (0 to {last_word}) of std_logic_vector({last_bit} downto 0);

  constant WORDS : words_t := (
{("," + chr(10)).join(lines)}
  );

  -- LUTs, where synthesis would choose block RAM by itself.
  attribute rom_style : string;
  attribute rom_style of WORDS : constant is "distributed";

begin

  fetch : process (clk)
  begin
    if rising_edge(clk) then
      word <= WORDS({fetched});
    end if;
  end process;

end architecture;
"""


def memory_file(number: int, weights: np.ndarray, layer: MemorySizes) -> str:
    """weights_N.mem: the same words, as $readmemh and memory generators read them."""
    digits = -(-layer.word_bits // 4)
    lines = [f"{word:0{digits}X}" for word in packed(weights, layer)]
    head = (
        f"// layer {number}: {layer.words} words of {layer.word_bits} bits, as weights_{number}.vhd"
    )
    return "\n".join([head, *lines]) + "\n"


def packed(weights: np.ndarray, layer: MemorySizes) -> list[int]:
    """The words of the memory of a layer."""
    wide = lanes_of(weights, layer.lanes).transpose(1, 0, 2).reshape(layer.words, -1)
    bits = (wide[..., None] >> np.arange(layer.weight_bits)) & 1  # two's complement, low bit first
    packed_bytes = np.packbits(
        bits.reshape(layer.words, -1).astype(np.uint8), axis=1, bitorder="little"
    )
    return [int.from_bytes(word.tobytes(), "little") for word in packed_bytes]


def top(network: Network, sizes: tuple[LayerSizes, ...], style: str) -> str:
    """src_network.vhd: layers, memories and read-out, connected."""
    depth = len(sizes)
    signals = [
        f"""\
  -- Frames into layer {number}{", and out of the last" if number == depth else ""}.
  signal valid_{number}  : std_logic;
  signal ready_{number}  : std_logic;
  signal first_{number}  : std_logic;
  signal last_{number}   : std_logic;
  signal spikes_{number} : std_logic_vector({width - 1} downto 0);
"""
        for number, width in enumerate([network.inputs, *(layer.neurons for layer in sizes)])
    ]
    signals[-1] = signals[-1].replace(
        f"-- Frames into layer {depth}, and out of the last.", "-- Frames into the read-out."
    )
    memories = [
        f"""\
  signal address_{number} : unsigned({counting_bits(layer.words) - 1} downto 0);
  signal word_{number}    : std_logic_vector({layer.word_bits - 1} downto 0);
"""
        for number, layer in enumerate(sizes)
    ]
    layers = [_layer(number, layer, style) for number, layer in enumerate(sizes)]
    return f"""\
-- The whole network, {"-".join(str(n) for n in [network.inputs, *(s.neurons for s in sizes)])}, \
style {style}: a layer works on one frame while the next
-- layer works on the one before.
{HEADER}use work.src_package.all;
use work.network_package.all;

entity src_network is
  port (
    clk          : in  std_logic;
    rst          : in  std_logic;  -- synchronous, '1' for a clock or more
    -- A frame is the input spikes of one step, input 0 in bit 0. It is accepted in a clock in which
    -- frame_valid and frame_ready are both '1'.
    frame_valid  : in  std_logic;
    frame_ready  : out std_logic;
    frame_first  : in  std_logic;  -- first frame of a sequence: all states start at 0
    frame_last   : in  std_logic;  -- last frame of a sequence: a result follows
    frame        : in  std_logic_vector(INPUTS - 1 downto 0);
    -- A result for each sequence, accepted in a clock in which valid and ready are both '1'.
    result_valid : out std_logic;
    result_ready : in  std_logic;
    result_class : out unsigned(3 downto 0);
    -- Accumulator c in bits c ACCUMULATOR_BITS and up, signed; valid with result_valid, and after
    -- each frame, in the clock of counted.
    votes        : out std_logic_vector(CLASSES * ACCUMULATOR_BITS - 1 downto 0);
    counted      : out std_logic;
    -- For test benches; left open they cost nothing. All states of layer l, in the bits from
    -- WATCH_FROM(l) on, are valid in the clock of watch_valid(l); see src_layer.
    watch_valid  : out std_logic_vector(LAYERS - 1 downto 0);
    watch        : out std_logic_vector(WATCH_BITS - 1 downto 0)
  );
end entity;

architecture rtl of src_network is

{chr(10).join(signals)}
  -- The weight memories.
{"".join(memories)}
  -- Of the frames that layers hand on, whether they begin a sequence.
  signal firsts : std_logic_vector(LAYERS - 1 downto 0);

begin

  valid_0     <= frame_valid;
  frame_ready <= ready_0;
  first_0     <= frame_first;
  last_0      <= frame_last;
  spikes_0    <= frame;

{chr(10).join(layers)}
  read_out : entity work.src_read_out
    generic map (NEURONS => {sizes[-1].neurons}, ACCUMULATOR_BITS => ACCUMULATOR_BITS)
    port map (
      clk          => clk,
      rst          => rst,
      in_valid     => valid_{depth},
      in_ready     => ready_{depth},
      in_first     => first_{depth},
      in_last      => last_{depth},
      in_spikes    => spikes_{depth},
      result_valid => result_valid,
      result_ready => result_ready,
      result_class => result_class,
      votes        => votes,
      counted      => counted
    );

  -- synthesis translate_off
  limits : entity work.src_limits
    port map (
      clk         => clk,
      rst         => rst,
      watch_valid => watch_valid,
      watch       => watch,
      firsts      => firsts,
      counted     => counted,
      votes       => votes
    );
  -- synthesis translate_on

end architecture;
"""


def _layer(number: int, layer: LayerSizes, style: str) -> str:
    return f"""\
  layer_{number} : entity work.src_layer
    generic map (
      INPUTS       => {layer.inputs},
      NEURONS      => {layer.neurons},
      LANES        => {layer.lanes},
      EVENTS       => {"true" if style == "events" else "false"},
      WEIGHT_BITS  => {layer.weight_bits},
      ADDEND_BITS  => {layer.addend_bits},
      CURRENT_BITS => {layer.current_bits}
    )
    port map (
      clk         => clk,
      rst         => rst,
      in_valid    => valid_{number},
      in_ready    => ready_{number},
      in_first    => first_{number},
      in_last     => last_{number},
      in_spikes   => spikes_{number},
      out_valid   => valid_{number + 1},
      out_ready   => ready_{number + 1},
      out_first   => first_{number + 1},
      out_last    => last_{number + 1},
      out_spikes  => spikes_{number + 1},
      rom_address => address_{number},
      rom_word    => word_{number},
      watch       => watch(WATCH_FROM({number} + 1) - 1 downto WATCH_FROM({number}))
    );

  memory_{number} : entity work.weights_{number}
    port map (clk => clk, address => address_{number}, word => word_{number});

  watch_valid({number}) <= valid_{number + 1} and ready_{number + 1};
  firsts({number})      <= first_{number + 1};
"""


def aggregate(values: list[int]) -> str:
    """By name: of one element a positional one is not possible."""
    return f"({', '.join(f'{i} => {x}' for i, x in enumerate(values))})"
