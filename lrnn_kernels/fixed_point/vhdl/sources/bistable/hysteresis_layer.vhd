-- A layer of first-quadrant BMRUs. A frame is one step: the inputs, and out of it come the states,
-- a bit each, which are the next layer's inputs.
--
-- Clocks from one accepted frame to the next, at the earliest:
--     EVENTS = false        ceil(INPUTS / LANES) + 6
--     EVENTS = true         inputs that are not 0, + 8
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use work.bits_package.all;

entity hysteresis_layer is
  generic (
    INPUTS      : positive;
    INPUT_BITS  : positive;
    WIDTH       : positive;  -- units
    LANES       : positive;
    EVENTS      : boolean;
    WEIGHT_BITS : positive;
    ADDEND_BITS : positive;
    SUM_BITS    : positive;  -- see weighted_sums; thresholds fit into it, too
    BIASES      : integer_vector;
    LOWS        : integer_vector;  -- thresholds of each unit
    HIGHS       : integer_vector;
    STARTS      : std_logic_vector  -- states before the first step, unit 0 at the right
  );
  port (
    clk         : in  std_logic;
    rst         : in  std_logic;  -- synchronous
    -- Frames in: accepted in a clock in which in_valid and in_ready are both '1'.
    in_valid    : in  std_logic;
    in_ready    : out std_logic;
    in_first    : in  std_logic;  -- first of a sequence: states start anew
    in_last     : in  std_logic;  -- last of a sequence: handed on
    in_frame    : in  std_logic_vector(INPUTS * INPUT_BITS - 1 downto 0);
    -- States out, for the next layer or the read-out.
    out_valid   : out std_logic;
    out_ready   : in  std_logic;
    out_first   : out std_logic;
    out_last    : out std_logic;
    out_states  : out std_logic_vector(WIDTH - 1 downto 0);
    -- The weights; see weighted_sums.
    rom_address : out unsigned(bits_for((INPUTS + LANES - 1) / LANES) - 1 downto 0);
    rom_word    : in  std_logic_vector(WIDTH * LANES * WEIGHT_BITS - 1 downto 0);
    -- For test benches; valid with out_valid, and left open it costs nothing. For each unit, from
    -- unit 0 at the right, u & state.
    watch       : out std_logic_vector(WIDTH * (SUM_BITS + 1) - 1 downto 0)
  );
end entity;

architecture rtl of hysteresis_layer is

  constant WATCHED : positive := SUM_BITS + 1;

  signal complete : std_logic;
  signal ended    : std_logic := '0';  -- the units have decided
  signal taken    : std_logic;
  signal first    : std_logic;
  signal sums     : std_logic_vector(WIDTH * SUM_BITS - 1 downto 0);

begin

  out_valid <= ended;
  out_first <= first;
  taken     <= ended and out_ready;

  control : process (clk)
  begin
    if rising_edge(clk) then
      if complete = '1' then
        ended <= '1';
      elsif out_ready = '1' then
        ended <= '0';
      end if;
      if rst = '1' then
        ended <= '0';
      end if;
    end if;
  end process;

  inputs_added : entity work.weighted_sums
    generic map (
      INPUTS      => INPUTS,
      INPUT_BITS  => INPUT_BITS,
      SUMS        => WIDTH,
      LANES       => LANES,
      EVENTS      => EVENTS,
      WEIGHT_BITS => WEIGHT_BITS,
      ADDEND_BITS => ADDEND_BITS,
      SUM_BITS    => SUM_BITS,
      BIASES      => BIASES
    )
    port map (
      clk         => clk,
      rst         => rst,
      in_valid    => in_valid,
      in_ready    => in_ready,
      in_first    => in_first,
      in_last     => in_last,
      in_frame    => in_frame,
      complete    => complete,
      taken       => taken,
      first       => first,
      last        => out_last,
      values      => sums,
      rom_address => rom_address,
      rom_word    => rom_word
    );

  cells : for k in 0 to WIDTH - 1 generate
    signal u     : signed(SUM_BITS - 1 downto 0);
    signal state : std_logic;
  begin
    unit : entity work.hysteresis_unit
      generic map (SUM_BITS => SUM_BITS)
      port map (
        clk     => clk,
        decide  => complete,
        first   => first,
        sum     => signed(sums((k + 1) * SUM_BITS - 1 downto k * SUM_BITS)),
        low     => to_signed(LOWS(k), SUM_BITS),
        high    => to_signed(HIGHS(k), SUM_BITS),
        start   => STARTS(k),
        u       => u,
        state   => state
      );

    out_states(k) <= state;
    watch((k + 1) * WATCHED - 1 downto k * WATCHED) <= std_logic_vector(u) & state;
  end generate;

end architecture;
