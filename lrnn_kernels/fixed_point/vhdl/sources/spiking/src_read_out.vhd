-- The read-out: ten accumulators. A spike of neuron j adds 10 to that of class j mod 10, and takes 1
-- from the others; after the last frame the first largest wins.
--
-- Ten neurons, one of each class, are counted in a clock: with s_c the spike of class c's, and n of
-- ten spiking, accumulator c gains 11 s_c - n. A frame takes ceil(NEURONS / 10) + 1 clocks, during
-- which the layers go on with the next one; the last frame ten more, and until the result is taken.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use work.bits_package.all;
use work.src_package.all;

entity src_read_out is
  generic (
    NEURONS          : positive;
    ACCUMULATOR_BITS : positive
  );
  port (
    clk          : in  std_logic;
    rst          : in  std_logic;  -- synchronous
    in_valid     : in  std_logic;
    in_ready     : out std_logic;
    in_first     : in  std_logic;
    in_last      : in  std_logic;
    in_spikes    : in  std_logic_vector(NEURONS - 1 downto 0);
    result_valid : out std_logic;
    result_ready : in  std_logic;
    result_class : out unsigned(3 downto 0);
    -- Accumulator c in bits c ACCUMULATOR_BITS and up; valid with result_valid, and after each
    -- frame, in the clock of counted.
    votes        : out std_logic_vector(CLASSES * ACCUMULATOR_BITS - 1 downto 0);
    counted      : out std_logic
  );
end entity;

architecture rtl of src_read_out is

  constant ROWS : positive := (NEURONS + CLASSES - 1) / CLASSES;

  type state_t is (IDLE, COUNT, COMPARE, RESULT);
  type accumulators_t is array (0 to CLASSES - 1) of signed(ACCUMULATOR_BITS - 1 downto 0);

  signal state        : state_t := IDLE;
  signal spikes       : std_logic_vector(ROWS * CLASSES - 1 downto 0) := (others => '0');
  signal last         : std_logic := '0';
  signal row          : unsigned(bits_for(ROWS) - 1 downto 0) := (others => '0');
  signal accumulators : accumulators_t := (others => (others => '0'));
  signal candidate    : unsigned(3 downto 0) := (others => '0');
  signal winner       : unsigned(3 downto 0) := (others => '0');
  signal most         : signed(ACCUMULATOR_BITS - 1 downto 0) := (others => '0');
  signal done         : std_logic := '0';

begin

  in_ready     <= '1' when state = IDLE else '0';
  result_valid <= '1' when state = RESULT else '0';
  result_class <= winner;
  counted      <= done;

  show : for c in 0 to CLASSES - 1 generate
    votes((c + 1) * ACCUMULATOR_BITS - 1 downto c * ACCUMULATOR_BITS)
      <= std_logic_vector(accumulators(c));
  end generate;

  step : process (clk)
    variable ten      : std_logic_vector(CLASSES - 1 downto 0);
    variable spiking  : natural range 0 to CLASSES;
    variable gain     : signed(4 downto 0);
    variable sum      : signed(ACCUMULATOR_BITS + 4 downto 0);
    variable compared : signed(ACCUMULATOR_BITS - 1 downto 0);
  begin
    if rising_edge(clk) then
      done <= '0';
      -- Not a case statement: of one, GHDL and yosys together make latches.
      if state = IDLE then
        row       <= (others => '0');
        candidate <= (others => '0');
        if in_valid = '1' then
          spikes(NEURONS - 1 downto 0) <= in_spikes;
          last                         <= in_last;
          state                        <= COUNT;
          if in_first = '1' then
            accumulators <= (others => (others => '0'));
          end if;
        end if;
      elsif state = COUNT then
        ten     := spikes(CLASSES - 1 downto 0);
        spikes  <= std_logic_vector(shift_right(unsigned(spikes), CLASSES));
        spiking := 0;
        for c in 0 to CLASSES - 1 loop
          if ten(c) = '1' then
            spiking := spiking + 1;
          end if;
        end loop;
        for c in 0 to CLASSES - 1 loop
          gain := to_signed(-spiking, gain'length);
          if ten(c) = '1' then
            gain := to_signed(11 - spiking, gain'length);
          end if;
          sum             := resize(accumulators(c), sum'length) + gain;
          accumulators(c) <= sum(ACCUMULATOR_BITS - 1 downto 0);
        end loop;
        row <= row + 1;
        if row = ROWS - 1 then
          done  <= '1';
          state <= IDLE;
          if last = '1' then
            state <= COMPARE;
          end if;
        end if;
      elsif state = COMPARE then
        compared := accumulators(to_integer(candidate));
        if candidate = 0 or compared > most then
          winner <= candidate;
          most   <= compared;
        end if;
        candidate <= candidate + 1;
        if candidate = CLASSES - 1 then
          state <= RESULT;
        end if;
      elsif state = RESULT then
        if result_ready = '1' then
          state <= IDLE;
        end if;
      end if;
      if rst = '1' then
        state <= IDLE;
        done  <= '0';
      end if;
    end if;
  end process;

end architecture;
