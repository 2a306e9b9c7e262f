-- What all layers begin with: a bias and, input by input, weights times inputs added to it, for all
-- SUMS at the same time. Inputs are unsigned.
--
-- The weights lie outside: rom_word is what is stored at the rom_address of the clock before, the
-- weight from lane j to sum k in bits ((k LANES + j) WEIGHT_BITS) and up. There is no multiplier: a
-- product is a sum of shifted weights, one for each bit of an input, in the tree that adds lanes.
--
-- Clocks from an accepted frame to that of complete:
--     EVENTS = false        ceil(INPUTS / LANES) + 4
--     EVENTS = true         inputs that are not 0, + 6
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use work.bits_package.all;

entity weighted_sums is
  generic (
    INPUTS      : positive;
    INPUT_BITS  : positive;
    SUMS        : positive;
    LANES       : positive;  -- inputs in a clock
    EVENTS      : boolean;  -- visit only inputs that are not 0
    WEIGHT_BITS : positive;
    ADDEND_BITS : positive;  -- of what is added to a sum in one clock
    SUM_BITS    : positive;  -- wide enough for every partial sum
    BIASES      : integer_vector
  );
  port (
    clk         : in  std_logic;
    rst         : in  std_logic;  -- synchronous
    -- Frames in: accepted in a clock in which in_valid and in_ready are both '1'.
    in_valid    : in  std_logic;
    in_ready    : out std_logic;
    in_first    : in  std_logic;
    in_last     : in  std_logic;
    in_frame    : in  std_logic_vector(INPUTS * INPUT_BITS - 1 downto 0);  -- input 0 at the right
    -- The sums: complete for a clock, and kept until a clock after taken.
    complete    : out std_logic;
    taken       : in  std_logic;
    first       : out std_logic;  -- what came with the frame
    last        : out std_logic;
    values      : out std_logic_vector(SUMS * SUM_BITS - 1 downto 0);  -- signed, sum 0 at the right
    -- The weights.
    rom_address : out unsigned(bits_for((INPUTS + LANES - 1) / LANES) - 1 downto 0)
                  := (others => '0');
    rom_word    : in  std_logic_vector(SUMS * LANES * WEIGHT_BITS - 1 downto 0)
  );
end entity;

architecture rtl of weighted_sums is

  constant GROUPS       : positive := (INPUTS + LANES - 1) / LANES;
  constant GROUP_BITS   : positive := LANES * INPUT_BITS;
  constant SHIFTED_BITS : positive := WEIGHT_BITS + INPUT_BITS - 1;

  subtype group_t is std_logic_vector(GROUP_BITS - 1 downto 0);

  -- The frame in work.
  signal frame     : std_logic_vector(INPUTS * INPUT_BITS - 1 downto 0) := (others => '0');
  signal nonzero   : std_logic_vector(INPUTS - 1 downto 0);
  signal padded    : std_logic_vector(GROUPS * GROUP_BITS - 1 downto 0);
  signal accept    : std_logic;
  signal busy      : std_logic := '0';
  signal begins    : std_logic := '0';

  -- What the walk visits, a clock later with rom_address, and another with rom_word.
  signal address  : unsigned(rom_address'range);
  signal mask     : std_logic_vector(LANES - 1 downto 0);
  signal mask_1   : std_logic_vector(LANES - 1 downto 0) := (others => '0');
  signal inputs_2 : group_t := (others => '0');
  signal done     : std_logic;
  signal done_1   : std_logic := '0';
  signal done_2   : std_logic := '0';

  -- What is added up of it a clock after that.
  signal add   : std_logic := '0';
  signal fires : std_logic := '0';  -- the last addend is being added

begin

  in_ready <= not busy;
  accept   <= in_valid and not busy;

  split : process (frame)
  begin
    padded              <= (others => '0');
    padded(frame'range) <= frame;
    for j in 0 to INPUTS - 1 loop
      nonzero(j) <= or frame((j + 1) * INPUT_BITS - 1 downto j * INPUT_BITS);
    end loop;
  end process;

  control : process (clk)
    variable place : natural range 0 to (GROUPS - 1) * GROUP_BITS;
  begin
    if rising_edge(clk) then
      if accept = '1' then
        frame <= in_frame;
        first <= in_first;
        last  <= in_last;
        busy  <= '1';
      elsif taken = '1' then
        busy <= '0';
      end if;
      begins      <= accept;
      rom_address <= address;
      mask_1      <= mask;
      done_1      <= done;
      done_2      <= done_1;
      fires       <= done_2;
      complete    <= fires;
      add         <= or inputs_2;
      place       := to_integer(rom_address) * GROUP_BITS;
      for lane in 0 to LANES - 1 loop
        for b in lane * INPUT_BITS to (lane + 1) * INPUT_BITS - 1 loop
          inputs_2(b) <= padded(place + b) and mask_1(lane);
        end loop;
      end loop;
      if rst = '1' then
        busy     <= '0';
        begins   <= '0';
        mask_1   <= (others => '0');
        inputs_2 <= (others => '0');
        done_1   <= '0';
        done_2   <= '0';
        fires    <= '0';
        complete <= '0';
        add      <= '0';
      end if;
    end if;
  end process;

  events_walk : if EVENTS generate
    walk : entity work.walk_events
      generic map (INPUTS => INPUTS)
      port map (
        clk => clk, rst => rst, start => accept, frame => nonzero,
        address => address, mask => mask, done => done
      );
  end generate;

  all_walk : if not EVENTS generate
    walk : entity work.walk_all
      generic map (INPUTS => INPUTS, LANES => LANES)
      port map (
        clk => clk, rst => rst, start => accept, frame => nonzero,
        address => address, mask => mask, done => done
      );
  end generate;

  accumulators : for k in 0 to SUMS - 1 generate
    signal weights : std_logic_vector(GROUP_BITS * SHIFTED_BITS - 1 downto 0);
    signal addend  : signed(ADDEND_BITS - 1 downto 0);
    signal value   : signed(SUM_BITS - 1 downto 0) := (others => '0');
  begin
    values((k + 1) * SUM_BITS - 1 downto k * SUM_BITS) <= std_logic_vector(value);

    -- The weight of a lane, once for each bit of its input.
    shift : process (rom_word)
      variable weight : signed(WEIGHT_BITS - 1 downto 0);
      variable place  : natural;
    begin
      for lane in 0 to LANES - 1 loop
        place  := (k * LANES + lane) * WEIGHT_BITS;
        weight := signed(rom_word(place + WEIGHT_BITS - 1 downto place));
        for b in 0 to INPUT_BITS - 1 loop
          place := (lane * INPUT_BITS + b) * SHIFTED_BITS;
          weights(place + SHIFTED_BITS - 1 downto place)
            <= std_logic_vector(shift_left(resize(weight, SHIFTED_BITS), b));
        end loop;
      end loop;
    end process;

    sum : entity work.masked_sum
      generic map (LANES => GROUP_BITS, WEIGHT_BITS => SHIFTED_BITS, SUM_BITS => ADDEND_BITS)
      port map (clk => clk, mask => inputs_2, weights => weights, sum => addend);

    accumulate : process (clk)
    begin
      if rising_edge(clk) then
        if begins = '1' then
          value <= to_signed(BIASES(k), SUM_BITS);
        elsif add = '1' then
          value <= value + addend;
        end if;
      end if;
    end process;
  end generate;

end architecture;
