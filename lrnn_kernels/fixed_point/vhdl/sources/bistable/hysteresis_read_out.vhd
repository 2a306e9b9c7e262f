-- The read-out: after each step, for each class, a bias and the weights of those states that are
-- '1', and the class of the first largest sum. A frame takes CLASSES clocks more than its sums,
-- during which the layers go on with the next one.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use work.bits_package.all;

entity hysteresis_read_out is
  generic (
    INPUTS      : positive;
    CLASSES     : positive;
    LANES       : positive;
    EVENTS      : boolean;
    WEIGHT_BITS : positive;
    ADDEND_BITS : positive;
    SUM_BITS    : positive;
    BIASES      : integer_vector
  );
  port (
    clk         : in  std_logic;
    rst         : in  std_logic;  -- synchronous
    in_valid    : in  std_logic;
    in_ready    : out std_logic;
    in_first    : in  std_logic;
    in_last     : in  std_logic;
    in_states   : in  std_logic_vector(INPUTS - 1 downto 0);
    out_valid   : out std_logic;
    out_ready   : in  std_logic;
    out_last    : out std_logic;
    out_class   : out unsigned(bits_for(CLASSES) - 1 downto 0);
    out_values  : out std_logic_vector(CLASSES * SUM_BITS - 1 downto 0);  -- signed, class 0 right
    rom_address : out unsigned(bits_for((INPUTS + LANES - 1) / LANES) - 1 downto 0);
    rom_word    : in  std_logic_vector(CLASSES * LANES * WEIGHT_BITS - 1 downto 0)
  );
end entity;

architecture rtl of hysteresis_read_out is

  type values_t is array (0 to CLASSES - 1) of signed(SUM_BITS - 1 downto 0);

  signal complete  : std_logic;
  signal taken     : std_logic;
  signal sums      : std_logic_vector(CLASSES * SUM_BITS - 1 downto 0);
  signal values    : values_t;
  signal compares  : std_logic := '0';
  signal ended     : std_logic := '0';
  signal candidate : unsigned(out_class'range) := (others => '0');
  signal winner    : unsigned(out_class'range) := (others => '0');
  signal most      : signed(SUM_BITS - 1 downto 0) := (others => '0');

begin

  out_valid  <= ended;
  out_class  <= winner;
  out_values <= sums;
  taken      <= ended and out_ready;

  split : for c in 0 to CLASSES - 1 generate
    values(c) <= signed(sums((c + 1) * SUM_BITS - 1 downto c * SUM_BITS));
  end generate;

  inputs_added : entity work.weighted_sums
    generic map (
      INPUTS      => INPUTS,
      INPUT_BITS  => 1,
      SUMS        => CLASSES,
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
      in_frame    => in_states,
      complete    => complete,
      taken       => taken,
      first       => open,
      last        => out_last,
      values      => sums,
      rom_address => rom_address,
      rom_word    => rom_word
    );

  choose : process (clk)
    variable compared : signed(SUM_BITS - 1 downto 0);
  begin
    if rising_edge(clk) then
      if complete = '1' then
        compares  <= '1';
        candidate <= (others => '0');
      elsif compares = '1' then
        compared := values(to_integer(candidate));
        if candidate = 0 or compared > most then
          winner <= candidate;
          most   <= compared;
        end if;
        candidate <= candidate + 1;
        if candidate = CLASSES - 1 then
          candidate <= (others => '0');
          compares  <= '0';
          ended     <= '1';
        end if;
      elsif out_ready = '1' then
        ended <= '0';
      end if;
      if rst = '1' then
        compares <= '0';
        ended    <= '0';
      end if;
    end if;
  end process;

end architecture;
