-- Test bench: compares values with what the golden model said of them, in a file with a line for
-- each step. Of each of COUNT things there are as many values as WIDTHS has, the first one's at the
-- left of its bits; thing 0 is at the right of all. Values are signed, but for those of one bit.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use std.textio.all;
use work.tb_package.all;

entity tb_check_values is
  generic (
    FILE_NAME : string;
    WHAT      : string;  -- what there is COUNT of, for messages
    NAMES     : string;  -- of the values, a word each
    COUNT     : positive;
    WIDTHS    : integer_vector;
    BITS      : positive  -- of one thing: the sum of WIDTHS
  );
  port (
    clk      : in  std_logic;
    valid    : in  std_logic;
    watch    : in  std_logic_vector(COUNT * BITS - 1 downto 0);
    compared : out natural := 0;
    wrong    : out natural := 0
  );
end entity;

architecture simulation of tb_check_values is
begin

  compare : process (clk)
    file golden       : text open read_mode is FILE_NAME;
    variable source   : line;
    variable row      : natural := 0;
    variable right    : natural := 0;
    variable bad      : natural := 0;
    variable above    : natural;  -- the first bit above the value
    variable got      : integer;
    variable expected : integer;
  begin
    if rising_edge(clk) then
      if valid = '1' then
        assert not endfile(golden) report "more steps than " & FILE_NAME & " has" severity failure;
        readline(golden, source);
        for k in 0 to COUNT - 1 loop
          above := (k + 1) * BITS;
          for v in WIDTHS'range loop
            if WIDTHS(v) = 1 then
              got := to_integer(unsigned(watch(above - 1 downto above - 1)));
            else
              got := to_integer(signed(watch(above - 1 downto above - WIDTHS(v))));
            end if;
            above := above - WIDTHS(v);
            read(source, expected);
            if got = expected then
              right := right + 1;
            else
              bad := bad + 1;
              assert bad > 10
                report WHAT & " " & integer'image(k) & ", row " & integer'image(row) & ": "
                       & word_of(NAMES, v - WIDTHS'low) & " is " & integer'image(got)
                       & ", expected " & integer'image(expected)
                severity error;
            end if;
          end loop;
        end loop;
        row      := row + 1;
        compared <= right;
        wrong    <= bad;
      end if;
    end if;
  end process;

end architecture;
