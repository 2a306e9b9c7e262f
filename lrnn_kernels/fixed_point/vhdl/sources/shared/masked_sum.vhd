-- The sum of those weights whose inputs are 1, a clock later: a tree of adders. Where none is,
-- the sum before is left.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;

entity masked_sum is
  generic (
    LANES       : positive;
    WEIGHT_BITS : positive;
    SUM_BITS    : positive
  );
  port (
    clk     : in  std_logic;
    mask    : in  std_logic_vector(LANES - 1 downto 0);
    weights : in  std_logic_vector(LANES * WEIGHT_BITS - 1 downto 0);
    sum     : out signed(SUM_BITS - 1 downto 0) := (others => '0')
  );
end entity;

architecture rtl of masked_sum is
  type nodes_t is array (1 to 2 * LANES - 1) of signed(SUM_BITS - 1 downto 0);
begin

  add : process (clk)
    variable node : nodes_t;  -- node n adds 2n and 2n + 1; leaves are LANES and up
  begin
    if rising_edge(clk) then
      if (or mask) = '1' then
        for lane in 0 to LANES - 1 loop
          node(LANES + lane) := (others => '0');
          if mask(lane) = '1' then
            node(LANES + lane) := resize(
              signed(weights((lane + 1) * WEIGHT_BITS - 1 downto lane * WEIGHT_BITS)), SUM_BITS
            );
          end if;
        end loop;
        for n in LANES - 1 downto 1 loop
          node(n) := node(2 * n) + node(2 * n + 1);
        end loop;
        sum <= node(1);
      end if;
    end if;
  end process;

end architecture;
