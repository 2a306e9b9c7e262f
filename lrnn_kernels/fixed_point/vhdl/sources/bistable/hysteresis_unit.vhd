-- One first-quadrant BMRU (FQ-BMRU) in integers: a bit that two thresholds switch.
--
--     u     = max(sum, 0)
--     state = '1' if u >= high, else '0' if u <= low, else as before
--
-- Between the thresholds it remembers; before the first step of a sequence it is start. Both
-- comparisons include equality, and high comes first, where low = high.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;

entity hysteresis_unit is
  generic (
    SUM_BITS : positive
  );
  port (
    clk     : in  std_logic;
    decide  : in  std_logic;  -- sum is complete: the state follows it
    first   : in  std_logic;  -- of a sequence
    sum     : in  signed(SUM_BITS - 1 downto 0);
    low     : in  signed(SUM_BITS - 1 downto 0);  -- 0 <= low <= high
    high    : in  signed(SUM_BITS - 1 downto 0);
    start   : in  std_logic;
    u       : out signed(SUM_BITS - 1 downto 0);
    state   : out std_logic := '0'
  );
end entity;

architecture rtl of hysteresis_unit is
begin

  u <= sum when sum >= 0 else (others => '0');

  switch : process (clk)
  begin
    if rising_edge(clk) then
      if decide = '1' then
        if u >= high then
          state <= '1';
        elsif u <= low then
          state <= '0';
        elsif first = '1' then
          state <= start;
        end if;
      end if;
    end if;
  end process;

end architecture;
