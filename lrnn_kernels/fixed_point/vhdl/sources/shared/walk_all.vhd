-- Visits all inputs of a layer in their order, LANES in a clock.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use work.bits_package.all;

entity walk_all is
  generic (
    INPUTS : positive;
    LANES  : positive
  );
  port (
    clk     : in  std_logic;
    rst     : in  std_logic;
    start   : in  std_logic;  -- frame is valid from the next clock on, until done
    frame   : in  std_logic_vector(INPUTS - 1 downto 0);
    address : out unsigned(bits_for((INPUTS + LANES - 1) / LANES) - 1 downto 0);
    mask    : out std_logic_vector(LANES - 1 downto 0);  -- which of these inputs spike
    done    : out std_logic  -- this clock's are the last
  );
end entity;

architecture rtl of walk_all is

  constant GROUPS : positive := (INPUTS + LANES - 1) / LANES;

  signal padded  : std_logic_vector(GROUPS * LANES - 1 downto 0);
  signal running : std_logic := '0';
  signal count   : unsigned(address'range) := (others => '0');

begin

  pad : process (frame)
  begin
    padded                      <= (others => '0');
    padded(INPUTS - 1 downto 0) <= frame;
  end process;

  address <= count;
  done    <= '1' when running = '1' and count = GROUPS - 1 else '0';

  choose : process (padded, count, running)
    variable group_of : natural range 0 to GROUPS - 1;
  begin
    group_of := 0;
    if running = '1' then
      group_of := to_integer(count);
    end if;
    for lane in 0 to LANES - 1 loop
      mask(lane) <= padded(group_of * LANES + lane) and running;
    end loop;
  end process;

  step : process (clk)
  begin
    if rising_edge(clk) then
      if rst = '1' then
        running <= '0';
      elsif start = '1' then
        running <= '1';
        count   <= (others => '0');
      elsif done = '1' then
        running <= '0';
      elsif running = '1' then
        count <= count + 1;
      end if;
    end if;
  end process;

end architecture;
