-- Test bench: compares the accumulators after each frame with what the golden model said of them, a
-- line of ten for each step.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use std.textio.all;
use work.src_package.all;

entity check_votes is
  generic (
    FILE_NAME        : string;
    ACCUMULATOR_BITS : positive
  );
  port (
    clk      : in  std_logic;
    valid    : in  std_logic;
    votes    : in  std_logic_vector(CLASSES * ACCUMULATOR_BITS - 1 downto 0);
    compared : out natural := 0;
    wrong    : out natural := 0
  );
end entity;

architecture simulation of check_votes is
begin

  compare : process (clk)
    file golden       : text open read_mode is FILE_NAME;
    variable source   : line;
    variable row      : natural := 0;
    variable right    : natural := 0;
    variable bad      : natural := 0;
    variable got      : integer;
    variable expected : integer;
  begin
    if rising_edge(clk) then
      if valid = '1' then
        assert not endfile(golden) report "more steps than " & FILE_NAME & " has" severity failure;
        readline(golden, source);
        for c in 0 to CLASSES - 1 loop
          read(source, expected);
          got := to_integer(
            signed(votes((c + 1) * ACCUMULATOR_BITS - 1 downto c * ACCUMULATOR_BITS)));
          if got = expected then
            right := right + 1;
          else
            bad := bad + 1;
            assert bad > 10
              report "accumulator of class " & integer'image(c) & ", row " & integer'image(row)
                     & " is " & integer'image(got) & ", expected " & integer'image(expected)
              severity error;
          end if;
        end loop;
        row      := row + 1;
        compared <= right;
        wrong    <= bad;
      end if;
    end if;
  end process;

end architecture;
