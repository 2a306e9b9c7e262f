-- Test bench: compares the states of a layer's neurons with what the golden model said of them, a
-- line for each step: I, h, h_s and spike of neuron 0, of neuron 1, ...
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use std.textio.all;
use work.src_package.all;

entity check_states is
  generic (
    FILE_NAME    : string;
    LAYER        : natural;
    NEURONS      : positive;
    CURRENT_BITS : positive
  );
  port (
    clk      : in  std_logic;
    valid    : in  std_logic;
    watch    : in  std_logic_vector(NEURONS * (CURRENT_BITS + 2 * STATE_BITS + 1) - 1 downto 0);
    compared : out natural := 0;
    wrong    : out natural := 0
  );
end entity;

architecture simulation of check_states is
begin

  compare : process (clk)
    file golden     : text open read_mode is FILE_NAME;
    variable source : line;
    variable row    : natural := 0;
    variable right  : natural := 0;
    variable bad    : natural := 0;
    variable place  : natural;

    procedure same(name : string; neuron : natural; got : integer) is
      variable expected : integer;
    begin
      read(source, expected);
      if got = expected then
        right := right + 1;
      else
        bad := bad + 1;
        assert bad > 10
          report "layer " & integer'image(LAYER) & ", neuron " & integer'image(neuron) & ", row "
                 & integer'image(row) & ": " & name & " is " & integer'image(got) & ", expected "
                 & integer'image(expected)
          severity error;
      end if;
    end procedure;

  begin
    if rising_edge(clk) then
      if valid = '1' then
        assert not endfile(golden)
          report "layer " & integer'image(LAYER) & ": more steps than " & FILE_NAME & " has"
          severity failure;
        readline(golden, source);
        for k in 0 to NEURONS - 1 loop
          place := k * (CURRENT_BITS + 2 * STATE_BITS + 1);
          same("I", k, to_integer(
            signed(watch(place + CURRENT_BITS + 2 * STATE_BITS downto place + 2 * STATE_BITS + 1))));
          same("h", k, to_integer(
            signed(watch(place + 2 * STATE_BITS downto place + STATE_BITS + 1))));
          same("h_s", k, to_integer(signed(watch(place + STATE_BITS downto place + 1))));
          same("spike", k, to_integer(unsigned(watch(place downto place))));
        end loop;
        row      := row + 1;
        compared <= right;
        wrong    <= bad;
      end if;
    end if;
  end process;

end architecture;
