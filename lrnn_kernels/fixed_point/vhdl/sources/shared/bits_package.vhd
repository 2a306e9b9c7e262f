-- Functions of widths and bits that all entities share.
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;

package bits_package is

  -- How many bits count from 0 to n - 1; at least one.
  function bits_for(n : positive) return positive;

  -- The lowest '1' alone. "-x" is one carry chain: short, where a chain of ifs is long.
  function lowest_one(x : std_logic_vector) return std_logic_vector;

  -- The index of the '1' in a one-hot vector; 0 where there is none.
  function encode(one_hot : std_logic_vector; bits : positive) return unsigned;

end package;

package body bits_package is

  function bits_for(n : positive) return positive is
    variable bits : positive := 1;
  begin
    while 2 ** bits < n loop
      bits := bits + 1;
    end loop;
    return bits;
  end function;

  function lowest_one(x : std_logic_vector) return std_logic_vector is
  begin
    return x and std_logic_vector(unsigned(not x) + 1);
  end function;

  function encode(one_hot : std_logic_vector; bits : positive) return unsigned is
    variable index : unsigned(bits - 1 downto 0) := (others => '0');
  begin
    for i in one_hot'range loop
      if one_hot(i) = '1' then
        index := index or to_unsigned(i, bits);
      end if;
    end loop;
    return index;
  end function;

end package body;
